//! The edge for **eyes**: pages that people open in a browser. Their assets lie inside the binary.

mod swagger;

pub(crate) use swagger::with_swagger;
