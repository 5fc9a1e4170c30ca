//! The ledger and the board, with answers made by hand.
