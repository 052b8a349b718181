//! The issuers that this node knows, and the check of a token.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;

use crate::{
    domain::Time,
    issuers::{
        BadFile, Issuer, Pace, Proven,
        claims::{self, Unfit},
        document::{self, Discovered},
        file,
        keys::{Keys, NoKey},
        logout::{self, LoggedOut},
        token::Presented,
    },
    outbound::Outbound,
};

/// Why a token is not accepted. A client learns no further details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotProven {
    /// The issuer of the token is not known to this server.
    #[error("the issuer of the token is not known to this server: ask the operator to add it")]
    UnknownIssuer,
    /// The token is not valid.
    #[error("the token is not valid: get a new one from its issuer")]
    Invalid,
    /// The token has expired.
    #[error("the token has expired: get a new one from its issuer")]
    Expired,
    /// The keys of the issuer are not available at present.
    #[error("the issuer of the token does not respond: try again later")]
    Unavailable,
}

/// The issuers of the operator's file.
pub(crate) struct Issuers {
    file: PathBuf,
    /// The issuer name of Verbatim's own tokens.
    ours: String,
    outbound: Outbound,
    pace: Pace,
    by_name: RwLock<Arc<HashMap<String, Known>>>,
}

#[derive(Clone)]
struct Known {
    issuer: Arc<Issuer>,
    keys: Arc<Keys>,
    discovered: Arc<Discovered>,
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuers").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Issuers {
    /// Reads the file. `ours` is the issuer name of Verbatim's own tokens.
    pub(crate) fn read(file: &Path, ours: &str, outbound: Outbound, pace: Pace) -> Result<Self, BadFile> {
        let issuers =
            Self { file: file.into(), ours: ours.into(), outbound, pace, by_name: RwLock::default() };
        issuers.read_again()?;
        Ok(issuers)
    }

    /// Reads the file again, and returns the number of issuers. An invalid file changes nothing. An issuer with an
    /// unchanged description keeps its keys.
    pub(super) fn read_again(&self) -> Result<usize, BadFile> {
        let before = self.all();
        let known = |issuer: Issuer| {
            let same = before.get(&issuer.iss).filter(|known| *known.issuer == issuer);
            let known = same.cloned().unwrap_or_else(|| Known {
                issuer: issuer.into(),
                keys: Keys::new(self.pace),
                discovered: Arc::default(),
            });
            (known.issuer.iss.clone(), known)
        };
        let found: HashMap<_, _> = file::read(&self.file, &self.ours)?.into_iter().map(known).collect();
        let number = found.len();
        *self.by_name.write().unwrap_or_else(PoisonError::into_inner) = found.into();
        Ok(number)
    }

    /// The hashes of the issuers' URLs, which represent them in the audit trail.
    pub(crate) fn hashes(&self) -> BTreeSet<u128> {
        let hash = |iss: &String| {
            let mut half = [0; 16];
            half.copy_from_slice(&digest(&SHA256, iss.as_bytes()).as_ref()[..16]);
            u128::from_be_bytes(half)
        };
        self.all().keys().map(hash).collect()
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    fn all(&self) -> Arc<HashMap<String, Known>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Checks an access token of an issuer, and returns its user with the rules of the issuer.
    pub(crate) async fn prove(&self, token: &str, now: Time) -> Result<(Proven, Arc<Issuer>), NotProven> {
        self.prove_if(token, now, |_| true).await
    }

    /// Checks a token that is used directly, if the issuer's rules allow that.
    pub(crate) async fn prove_direct(
        &self,
        token: &str,
        now: Time,
    ) -> Result<(Proven, Arc<Issuer>), NotProven> {
        self.prove_if(token, now, |issuer| issuer.direct).await
    }

    async fn prove_if(
        &self,
        token: &str,
        now: Time,
        allowed: impl FnOnce(&Issuer) -> bool,
    ) -> Result<(Proven, Arc<Issuer>), NotProven> {
        let presented = Presented::parse(token).ok_or(NotProven::Invalid)?;
        let known = self.issuer_of(&presented)?;
        if !(allowed(&known.issuer) && presented.is_of_type(&known.issuer.types)) {
            return Err(NotProven::Invalid);
        }
        let claims = self.signed(presented, &known).await?;
        match claims::judge(&known.issuer, &claims, now) {
            Ok(proven) => Ok((proven, known.issuer)),
            Err(Unfit::Invalid) => Err(NotProven::Invalid),
            Err(Unfit::Expired) => Err(NotProven::Expired),
        }
    }

    /// Checks a logout token of an issuer.
    pub(crate) async fn prove_logout(&self, token: &str, now: Time) -> Result<LoggedOut, NotProven> {
        let presented = Presented::parse(token).ok_or(NotProven::Invalid)?;
        let known = self.issuer_of(&presented)?;
        if !presented.is_of_type(&logout::TYPES) {
            return Err(NotProven::Invalid);
        }
        let claims = self.signed(presented, &known).await?;
        logout::judge(&known.issuer, &claims, now).ok_or(NotProven::Invalid)
    }

    fn issuer_of(&self, presented: &Presented<'_>) -> Result<Known, NotProven> {
        let iss = presented.issuer().filter(|iss| *iss != self.ours).ok_or(NotProven::Invalid)?;
        self.all().get(iss).cloned().ok_or(NotProven::UnknownIssuer)
    }

    /// The claims of a token that a key of its issuer signed.
    async fn signed(&self, presented: Presented<'_>, known: &Known) -> Result<claims::Claims, NotProven> {
        // The algorithm is checked first, so that a token with an algorithm that is not accepted causes no fetch.
        let algorithm = presented.algorithm(&known.issuer.algorithms).ok_or(NotProven::Invalid)?;
        let Known { issuer, keys, discovered } = known;
        let fetch = || {
            let wanted = presented.key().to_owned();
            document::fetch(self.outbound.clone(), issuer.clone(), discovered.clone(), wanted)
        };
        let key = keys.named(presented.key(), fetch).await.map_err(|none| match none {
            NoKey::Unknown => NotProven::Invalid,
            NoKey::Unavailable => NotProven::Unavailable,
        })?;
        presented.signed_by(&key, algorithm).ok_or(NotProven::Invalid)
    }

    /// Fetches the keys of each issuer. Returns its name with the number of usable keys or the error.
    pub(crate) async fn check(&self) -> Vec<(String, Result<usize, String>)> {
        let mut found = Vec::new();
        for known in self.all().values() {
            let fetched = document::keys(&self.outbound, &known.issuer, &Discovered::default(), "").await;
            let outcome = match fetched {
                Ok(fetched) if fetched.set.len() == 0 => Err("none of its keys can check a token".to_owned()),
                Ok(fetched) => Ok(fetched.set.len()),
                Err(why) => Err(why.to_string()),
            };
            found.push((known.issuer.iss.clone(), outcome));
        }
        found.sort();
        found
    }
}
