//! Values whose schema is inlined in the document, instead of a component that has a name.

/// Implements `Type` for a value whose schema is inlined in the document.
macro_rules! inlined {
    (($($of:tt)*) $name:ty, $word:expr, $required:literal, $schema:expr) => {
        impl $($of)* poem_openapi::types::Type for $name {
            const IS_REQUIRED: bool = $required;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> std::borrow::Cow<'static, str> {
                $word.into()
            }

            fn schema_ref() -> poem_openapi::registry::MetaSchemaRef {
                poem_openapi::registry::MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }
    };
}

pub(in crate::api) use inlined;
