//! Throttles: how many hosts do the same at a time, in an `on` and in a step that they all have.

mod hosts;
mod steps;

pub(crate) use hosts::HostThrottle;
pub(super) use steps::StepThrottle;
