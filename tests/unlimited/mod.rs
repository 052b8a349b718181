//! Rate limits of nodes under test: off, as far as a limit can be turned off. Stories and benchmarks do in seconds,
//! with few accounts and from one address, what people do in hours. With the defaults they would only see 429. The
//! stories about limits set the limits that they test, and dev mode keeps the defaults.

/// Settings for the environment of a node. Later settings of a story take precedence.
pub const UNLIMITED: &[(&str, &str)] = &[
    ("VERBATIM_LIMIT_ADDRESS", "off"),
    ("VERBATIM_LIMIT_LOGIN", "1000000/1:1000000"),
    ("VERBATIM_LIMIT_REGISTER", "off"),
    ("VERBATIM_LIMIT_USER", "off"),
    ("VERBATIM_LIMIT_SEND", "off"),
    ("VERBATIM_LIMIT_CONVERSATION", "off"),
    ("VERBATIM_LIMIT_START", "off"),
    ("VERBATIM_LIMIT_MEMBERS", "off"),
    ("VERBATIM_LIMIT_SEARCH", "off"),
    ("VERBATIM_LIMIT_CONNECT", "off"),
    ("VERBATIM_LIMIT_CONNECT_ADDRESS", "off"),
    ("VERBATIM_LIMIT_FRAMES", "off"),
    ("VERBATIM_LIMIT_TYPING", "1/1"),
    ("VERBATIM_LIMIT_PRESENCE", "off"),
    ("VERBATIM_LIMIT_SERVICE", "off"),
    // A busy machine is overloaded all the time, and most stories test something else.
    ("VERBATIM_OVERLOAD_WAIT", "60000"),
];
