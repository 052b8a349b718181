//! An issuer, as the operator describes it.

use std::collections::BTreeMap;

use jsonwebtoken::Algorithm;

use crate::outbound::Target;

/// An issuer whose tokens are accepted, and the rules for its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issuer {
    /// The name in `iss`, compared byte for byte.
    pub(crate) iss: String,
    /// A token has one of these in `aud`.
    pub(super) audience: Vec<String>,
    /// A logout token has one of these in `aud`.
    pub(super) logout_audience: Vec<String>,
    /// Where the keys come from.
    pub(super) source: Source,
    /// The algorithms that a token may be signed with.
    pub(super) algorithms: Vec<Algorithm>,
    /// The types that a token may have in its header. An empty text means no type.
    pub(super) types: Vec<String>,
    /// Whether ID tokens are accepted too.
    pub(super) accept_id_tokens: bool,
    /// The longest lifetime of a token, in seconds.
    pub(super) max_life: i64,
    /// How far the clocks may differ, in seconds.
    pub(super) leeway: i64,
    /// Whether an unknown user gets an account.
    pub(crate) jit: bool,
    /// Whether the tokens can be used directly, and not only exchanged for tokens of Verbatim.
    pub(crate) direct: bool,
    /// The claim from which the user name of a new account comes.
    pub(super) username_claim: String,
    /// The claim from which the display name of a new account comes.
    pub(super) display_name_claim: String,
    /// Whether the display name is copied again at each exchange.
    pub(crate) sync: bool,
    /// Claims that a token must have, each as a string or as an element of a list.
    pub(super) required: BTreeMap<String, String>,
    /// The role that the members of a group get.
    pub(super) groups: BTreeMap<String, String>,
}

/// Where the keys of an issuer come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// The address of the key set.
    Keys(Target),
    /// The address of the document that names the address of the key set (OpenID Connect Discovery).
    Discovery(Target),
}
