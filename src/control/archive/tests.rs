//! Archives built here, good and hostile.
