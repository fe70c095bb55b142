//! Secrets: values that cannot be printed.

use std::fmt;

/// A value whose Debug output says nothing about it. Reading it takes the word
/// [`expose`](Secret::expose), which is easy to search for.
#[derive(Clone, Default)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides a value.
    pub const fn new(value: T) -> Secret<T> {
        Secret(value)
    }

    /// The value, for the one place that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Secret<T> {
        Secret(value)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_appear_in_debug_output() {
        #[derive(Debug)]
        #[allow(dead_code)]
        struct Account {
            password: Secret<String>,
        }
        let account = Account {
            password: Secret::new("hunter2".into()),
        };
        assert!(!format!("{account:#?}").contains("hunter2"));
        assert_eq!(account.password.expose(), "hunter2");
    }
}
