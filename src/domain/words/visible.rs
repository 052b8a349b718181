//! Which characters may be kept, and which are visible.

/// Whether a character is a control character other than line feed and tab, or a noncharacter of Unicode.
pub(in crate::domain) fn may_never_be_kept(c: char) -> bool {
    let control = c.is_control() && c != '\n' && c != '\t';
    let code = u32::from(c);
    control || (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

pub(in crate::domain) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
        | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
}

pub(in crate::domain) fn is_visible(c: char) -> bool {
    !c.is_whitespace() && !is_invisible(c) && !is_combining(c)
}

/// Whether a character is in one of the blocks of combining marks, which are drawn on another character and
/// show nothing by themselves.
fn is_combining(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036F}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}'
        | '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}')
}
