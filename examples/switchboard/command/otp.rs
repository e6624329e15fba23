//! The commands that concern processes.

use super::Command;
use super::data::required;
use crate::error::CommandError;
use crate::number;
use crate::resp::Arguments;

/// `OTP.UPGRADE version [DRY]`.
pub fn upgrade(arguments: Arguments<'_>) -> Result<Command<'_>, CommandError> {
    let to = number::parse(required(arguments, 0)?).ok_or(CommandError::NotAnInteger)?;
    let dry = match arguments.get(1) {
        None => false,
        Some(_) if arguments.len() > 2 => return Err(CommandError::Arity("otp.upgrade")),
        Some(option) if option.eq_ignore_ascii_case(b"dry") => true,
        Some(_) => return Err(CommandError::Syntax),
    };
    Ok(Command::Upgrade { to, dry })
}
