//! The rules of the gates, each with a scene of its own.
