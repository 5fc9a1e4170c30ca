//! What is true: rows and rules. Pure: no I/O, no clock, no async, no terminal.
