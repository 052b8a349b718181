//! The edge for **eyes**: pages for people with a browser. The binary contains their assets.

mod swagger;

pub(crate) use swagger::with_swagger;
