//! One-time secrets for people without a login: invitation codes and recovery tokens. They have 256 random bits, so the
//! stored SHA-256 needs neither a salt nor a cost.

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use zeroize::Zeroizing;

use crate::credentials::sha256::sha256;

/// The purpose of a one-time secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OneTime {
    /// Registering while registration is by invitation.
    Invite,
    /// Setting a new password without the current one.
    Recovery,
}

/// The text of a new secret. It grants access: never show it to anyone except its owner.
pub(crate) type OneTimeText = Zeroizing<String>;
/// The hash that is stored in place of a text.
pub(crate) type OneTimeHash = [u8; 32];

impl OneTime {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Invite => "vbi_",
            Self::Recovery => "vbr_",
        }
    }

    /// A new text, with its hash. The text grants access: never show it to anyone except its owner.
    #[expect(clippy::disallowed_methods, reason = "a secret is drawn where it is made")]
    pub(crate) fn new_text(self) -> (OneTimeText, OneTimeHash) {
        let mut secret = Zeroizing::new([0; 32]);
        rand::fill(&mut *secret).expect("the random numbers of the system do not end");
        let text = Zeroizing::new(format!("{}{}", self.prefix(), BASE64URL.encode(*secret)));
        let hash = sha256(&*text);
        (text, hash)
    }

    /// The hash of a presented text; `None` for a text that cannot be a secret for this purpose.
    pub(crate) fn hash_of(self, text: &str) -> Option<OneTimeHash> {
        let secret = text.strip_prefix(self.prefix()).filter(|secret| secret.len() == 43)?;
        BASE64URL.decode(secret).is_ok().then(|| sha256(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_opens_its_own_door_only() {
        let (text, hash) = OneTime::Invite.new_text();
        assert_eq!(OneTime::Invite.hash_of(&text), Some(hash));
        assert_eq!(OneTime::Recovery.hash_of(&text), None);
        assert_ne!(OneTime::Invite.new_text().1, hash);
        let cut = &text[..text.len() - 1];
        for wrong in ["", "vbi_", cut, &format!("{cut}!"), &format!("{}a", *text), &format!(" {}", *text)] {
            assert_eq!(OneTime::Invite.hash_of(wrong), None, "{wrong}");
        }
    }
}
