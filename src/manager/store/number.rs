//! Sums of stored numbers.

use super::fault::Fault;
use crate::manager::wire::pack;
use crate::manager::wire::read::{Head, Reader};

/// The sum of two numbers: of integers an integer, else a float.
pub(crate) fn add(left: &[u8], right: &[u8]) -> Result<Vec<u8>, Fault> {
    let (left, right) = (Reader::new(left).head()?, Reader::new(right).head()?);
    let mut out = Vec::new();
    match (left, right) {
        (Head::Int(a), Head::Int(b)) => {
            let sum = a + b;
            if !(i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&sum) {
                return Err(Fault::new(Fault::ARITHMETIC, format!("{a} + {b} fits no 64-bit integer")));
            }
            pack::int(&mut out, sum);
        }
        (a, b) => match (as_float(a), as_float(b)) {
            (Some(a), Some(b)) => pack::float(&mut out, a + b),
            _ => return Err(Fault::new(Fault::ARITHMETIC, "only numbers can be added")),
        },
    }
    Ok(out)
}

fn as_float(head: Head<'_>) -> Option<f64> {
    match head {
        Head::Int(value) => Some(value as f64),
        Head::Float(value) => Some(value),
        _ => None,
    }
}
