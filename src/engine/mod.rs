//! Carries out a plan: steps, gates, lock, journal, drain. No screen, no terminal.
