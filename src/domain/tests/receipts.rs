//! Watermarks only rise, and never beyond the head of the conversation.

use crate::domain::tests::*;

const NEVER: ReceiptAdvanced = ReceiptAdvanced { delivered: Position::START, read: Position::START };

fn known(delivered: u64, read: u64) -> ReceiptAdvanced {
    ReceiptAdvanced { delivered: Position(delivered), read: Position(read) }
}

/// A command to move watermarks in a conversation whose last position is 10.
fn advance(known: ReceiptAdvanced, delivered: Option<u64>, read: Option<u64>) -> Command {
    let (delivered, read) = (delivered.map(Position), read.map(Position));
    Command::Advance { delivered, read, known, head: Position(10) }
}

#[test]
fn what_is_absent_stays() {
    direct(ANA, BEN).when(BEN, advance(known(5, 3), Some(7), None)).then(advanced(7, 3));
    direct(ANA, BEN).when(BEN, advance(known(5, 3), None, Some(4))).then(advanced(5, 4));
    direct(ANA, BEN).when(BEN, advance(known(5, 3), None, None)).then_nothing();
}

#[test]
fn what_is_read_has_been_delivered() {
    direct(ANA, BEN).when(BEN, advance(NEVER, None, Some(4))).then(advanced(4, 4));
    direct(ANA, BEN).when(BEN, advance(NEVER, Some(2), Some(4))).then(advanced(4, 4));
}

#[test]
fn going_back_is_nothing() {
    direct(ANA, BEN).when(BEN, advance(known(5, 3), Some(4), Some(2))).then_nothing();
    direct(ANA, BEN).when(BEN, advance(known(5, 3), Some(5), Some(3))).then_nothing();
    direct(ANA, BEN).when(BEN, advance(known(5, 3), Some(0), Some(4))).then(advanced(5, 4));
}

#[test]
fn the_head_is_the_limit() {
    let given = || direct(ANA, BEN);
    given().when(BEN, advance(NEVER, Some(10), Some(10))).then(advanced(10, 10));
    given().when(BEN, advance(NEVER, Some(11), None)).then_rejected(Rejection::AheadOfHead);
    given().when(BEN, advance(NEVER, None, Some(11))).then_rejected(Rejection::AheadOfHead);
    given().when(BEN, advance(NEVER, Some(1), Some(11))).then_rejected(Rejection::AheadOfHead);
}

#[test]
fn members_alone_have_receipts() {
    group(ANA).with(BEN).when(BEN, advance(NEVER, None, Some(1))).then(advanced(1, 1));
    group(ANA).when(BEN, advance(NEVER, None, Some(11))).then_rejected(Rejection::NotFound);
}
