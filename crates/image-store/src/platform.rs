//! Platforms, and which member of an image index fits one.
//!
//! Names are normalized the way registries write them (`amd64`, `arm64`, `arm/v7`). A variant is a level of the
//! instruction set: a machine runs its own level and lower ones, and the highest that fits is the best choice.

use std::{fmt, str::FromStr};

/// An operating system and an architecture, as in `linux/amd64` or `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    /// `v6`, `v7` for `arm`, `v8` for `arm64`, `v2`… for `amd64`; none is the architecture's base level.
    pub variant: Option<String>,
}

/// Why a text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid platform {text:?}: expected OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT")]
pub struct InvalidPlatform {
    pub text: String,
}

impl Platform {
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Platform {
        let (architecture, implied) = match architecture {
            "x86_64" | "x86-64" => ("amd64", None),
            "aarch64" => ("arm64", None),
            "armhf" => ("arm", Some("v7")),
            "armel" => ("arm", Some("v6")),
            "i386" | "i686" | "x86" => ("386", None),
            other => (other, None),
        };
        Platform {
            os: os.to_ascii_lowercase(),
            architecture: architecture.to_ascii_lowercase(),
            variant: variant.filter(|v| !v.is_empty()).or(implied).map(str::to_ascii_lowercase),
        }
    }

    /// The platform of this machine: Linux, on the architecture that this program was built for.
    pub fn host() -> Platform {
        Platform::new("linux", std::env::consts::ARCH, None)
    }

    /// How well an image for `offered` runs here: none when it does not, otherwise higher is better.
    pub(crate) fn fitness(&self, offered: &Platform) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        let (mine, theirs) = (self.level()?, offered.level()?);
        (theirs <= mine).then_some(theirs)
    }

    /// The variant as a number, with the architecture's base level when it is not given.
    fn level(&self) -> Option<u32> {
        let base = match self.architecture.as_str() {
            "arm64" => 8,
            "arm" => 7,
            _ => 1,
        };
        match &self.variant {
            None => Some(base),
            // "v8.1" counts as level 8: minor levels of arm64 do not divide images.
            Some(text) => text.trim_start_matches('v').split('.').next()?.parse().ok(),
        }
    }
}

impl Default for Platform {
    fn default() -> Platform {
        Platform::host()
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Platform, InvalidPlatform> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [os, architecture] if !os.is_empty() && !architecture.is_empty() => {
                Ok(Platform::new(os, architecture, None))
            }
            [os, architecture, variant]
                if !os.is_empty() && !architecture.is_empty() && !variant.is_empty() =>
            {
                Ok(Platform::new(os, architecture, Some(variant)))
            }
            _ => Err(InvalidPlatform { text: text.chars().take(100).collect() }),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}
