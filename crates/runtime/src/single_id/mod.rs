//! Owners where there is only one id: a monitor answers the calls that change owners and identities.

pub mod owner;
