//! Task sizes: what `cpu` and `memory` texts mean, and which pairs FARGATE sells.

/// CPU units (1024 to a vCPU) of `256`, `.25 vCPU`, `1 vcpu`.
pub fn cpu_units(text: &str) -> Option<u32> {
    let lower = text.trim().to_ascii_lowercase();
    if let Some(vcpus) = lower.strip_suffix("vcpu") {
        return scaled(vcpus.trim(), 1024.0);
    }
    lower.parse().ok().filter(|units| *units > 0)
}

/// MiB of `512`, `0.5GB`, `1 GB`.
pub fn memory_mib(text: &str) -> Option<u32> {
    let lower = text.trim().to_ascii_lowercase();
    if let Some(gigabytes) = lower.strip_suffix("gb") {
        return scaled(gigabytes.trim(), 1024.0);
    }
    lower.parse().ok().filter(|mib| *mib > 0)
}

fn scaled(number: &str, factor: f64) -> Option<u32> {
    let value = number.parse::<f64>().ok()? * factor;
    (value >= 1.0 && value <= f64::from(u32::MAX) && value.fract() == 0.0).then_some(value as u32)
}

/// Whether FARGATE runs tasks of this size (Linux, platform 1.4.0).
pub fn fargate_offers(cpu_units: u32, memory_mib: u32) -> bool {
    let range = |from: u32, to: u32, step: u32| {
        (from..=to).contains(&memory_mib) && (memory_mib - from).is_multiple_of(step)
    };
    match cpu_units {
        256 => matches!(memory_mib, 512 | 1024 | 2048),
        512 => range(1024, 4096, 1024),
        1024 => range(2048, 8192, 1024),
        2048 => range(4096, 16384, 1024),
        4096 => range(8192, 30720, 1024),
        8192 => range(16384, 61440, 4096),
        16384 => range(32768, 122_880, 8192),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{cpu_units, fargate_offers, memory_mib};

    #[test]
    fn sizes_are_read_in_every_spelling() {
        for (text, expected) in [
            ("256", Some(256)),
            (".25 vCPU", Some(256)),
            ("0.5vcpu", Some(512)),
            ("1 vCPU", Some(1024)),
            ("16 VCPU", Some(16384)),
            ("0", None),
            ("-1", None),
            ("x", None),
            ("", None),
            ("nan vcpu", None),
            ("1e99 vcpu", None),
        ] {
            assert_eq!(cpu_units(text), expected, "{text}");
        }
        for (text, expected) in [
            ("512", Some(512)),
            ("0.5GB", Some(512)),
            ("1 gb", Some(1024)),
            ("30GB", Some(30720)),
            ("GB", None),
        ] {
            assert_eq!(memory_mib(text), expected, "{text}");
        }
    }

    #[test]
    fn fargate_sells_the_documented_pairs_only() {
        for (cpu, memory) in [
            (256, 512),
            (256, 2048),
            (512, 4096),
            (1024, 5120),
            (4096, 30720),
            (8192, 20480),
            (16384, 122_880),
        ] {
            assert!(fargate_offers(cpu, memory), "{cpu}/{memory}");
        }
        for (cpu, memory) in [
            (256, 1536),
            (256, 4096),
            (512, 512),
            (1024, 1024),
            (4096, 30721),
            (8192, 17408),
            (300, 1024),
            (16384, 131_072),
        ] {
            assert!(!fargate_offers(cpu, memory), "{cpu}/{memory}");
        }
    }
}
