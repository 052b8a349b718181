//! Which **NATS users** exist, and what they may do: the keys, accounts and users of NATS in operator mode.
//!
//! An operator signs accounts, an account signs users, and nats-server has to trust only the operator to accept all of
//! them. So a new user needs no change to the server. [`installation()`] makes all keys and files of a new
//! installation. Apart from the randomness of keys, the module is pure: nothing here reads a file or opens a
//! connection.

mod accounts;
mod installation;
mod key;
mod subjects;
mod token;
mod user;

pub(crate) use installation::{
    ACCOUNTS, CHAT_KEY, CONSUMERS_KEY, ERASER, FILES, NODE, OPERATOR, OPERATOR_KEY, SYSTEM, installation,
};
pub(crate) use key::NKey;
pub(crate) use token::{Claims, signed_account};
pub(crate) use user::{Consumer, eraser, with_password};
