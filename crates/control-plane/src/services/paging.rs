//! Pages of lists, and the tokens between them.
//!
//! A token is the last key that the page showed, bound to the operation and the account by a keyed digest, so that a token of another
//! list, or one made up, is refused rather than misread. Tokens stay valid across restarts.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Makes and checks tokens.
#[derive(Clone)]
pub struct PageTokens {
    key: [u8; 32],
}

/// A token that this platform did not give out for this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForgedToken;

/// A list cut to a page.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_token: Option<String>,
}

const DIGEST_BYTES: usize = 16;

impl PageTokens {
    pub fn new(key: [u8; 32]) -> PageTokens {
        PageTokens { key }
    }

    /// The token behind `last_key` in the list named `list`.
    pub fn seal(&self, list: &str, last_key: &str) -> String {
        let mut bytes = self.digest(list, last_key).to_vec();
        bytes.extend_from_slice(last_key.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The key that `token` was made from.
    ///
    /// # Errors
    /// [`ForgedToken`] unless [`PageTokens::seal`] made it for the same list.
    pub fn open(&self, list: &str, token: &str) -> Result<String, ForgedToken> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| ForgedToken)?;
        let (digest, last_key) = bytes.split_at_checked(DIGEST_BYTES).ok_or(ForgedToken)?;
        let last_key = std::str::from_utf8(last_key).map_err(|_| ForgedToken)?;
        if self.digest(list, last_key) == digest { Ok(last_key.to_owned()) } else { Err(ForgedToken) }
    }

    /// The page of `items` (sorted by `key`) behind `token`, at most `size` long.
    ///
    /// # Errors
    /// [`ForgedToken`].
    pub fn page<T>(
        &self,
        list: &str,
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> String,
        token: Option<&str>,
        size: usize,
    ) -> Result<Page<T>, ForgedToken> {
        let after = token.map(|token| self.open(list, token)).transpose()?;
        let mut rest = items
            .into_iter()
            .skip_while(|item| after.as_ref().is_some_and(|after| key(item) <= *after))
            .peekable();
        let mut page = Vec::new();
        while page.len() < size
            && let Some(item) = rest.next()
        {
            page.push(item);
        }
        let next_token = match (rest.peek(), page.last()) {
            (Some(_), Some(last)) => Some(self.seal(list, &key(last))),
            _ => None,
        };
        Ok(Page { items: page, next_token })
    }

    fn digest(&self, list: &str, last_key: &str) -> [u8; DIGEST_BYTES] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(list.as_bytes());
        mac.update(&[0]);
        mac.update(last_key.as_bytes());
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&full[..DIGEST_BYTES]);
        digest
    }
}

impl std::fmt::Debug for PageTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageTokens")
    }
}

#[cfg(test)]
mod tests {
    use super::{ForgedToken, PageTokens};

    #[test]
    fn pages_cover_the_list_once_in_order() {
        let tokens = PageTokens::new([7; 32]);
        let all: Vec<String> = (0..25).map(|number| format!("{number:03}")).collect();
        let (mut seen, mut token) = (Vec::new(), None);
        loop {
            let page = tokens.page("list", all.clone(), String::clone, token.as_deref(), 10).unwrap();
            assert!(page.items.len() <= 10);
            seen.extend(page.items);
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
        let whole = tokens.page("list", all, String::clone, None, 25).unwrap();
        assert_eq!(whole.next_token, None);
    }

    #[test]
    fn forged_and_foreign_tokens_are_refused() {
        let tokens = PageTokens::new([7; 32]);
        let token = tokens.seal("tasks", "a");
        assert_eq!(tokens.open("tasks", &token).unwrap(), "a");
        assert_eq!(tokens.open("clusters", &token), Err(ForgedToken));
        assert_eq!(PageTokens::new([8; 32]).open("tasks", &token), Err(ForgedToken));
        for forged in ["", "a", "AAAA", "%%%"] {
            assert_eq!(tokens.open("tasks", forged), Err(ForgedToken));
        }
    }
}
