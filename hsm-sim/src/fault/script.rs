//! Reads a fault script: one line, one fault. Nothing is guessed; the first line that is not understood is an error.

use std::{fmt, time::Duration};

use cryptoki_sys::CK_RV;

use super::names::{Function, return_name, return_value};

/// Bytes of a script.
pub(crate) const SCRIPT_BYTES_MAX: u64 = 1024 * 1024;
/// Faults of one script.
const RULES_MAX: usize = 10_000;
/// Longest time in a script.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Lanes of the network model.
const LANES_MAX: usize = 65_536;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Return(CK_RV),
    MemoryFull,
    Delay(Duration),
    Slow(Duration),
    Hang,
    Crash,
    DropSession,
    DropLogin,
    LoseToken { calls: u64 },
    CrashAfter,
    SaidError(CK_RV),
    FlipBit(Option<usize>),
    Truncate(usize),
    LongAnswer(usize),
    RepeatAnswer,
    LengthPlus(usize),
    WrongCheckValue,
    DuplicateObject,
    MissingObject,
    OtherObject,
    Census,
}

/// Which calls are hit, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Calls `first` to `last`.
    Between { first: u64, last: u64 },
    /// Every so-many-th call.
    EveryNth(u64),
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// `None`: every function that the fault can hit.
    pub(crate) function: Option<Function>,
    pub(crate) when: When,
    pub(crate) fault: Fault,
}

/// A network between the caller and the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) latency: Duration,
    pub(crate) lanes: usize,
}

/// A whole script.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) rules: Vec<Rule>,
    pub(crate) network: Option<Line>,
    pub(crate) shared_counters: bool,
}

/// Why a script was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ScriptError {
    line: usize,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Words,
    Function,
    When,
    Fault,
    Argument,
    DoesNotFit,
    Repeated,
    TooMany,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            Reason::Words => "expected FUNCTION WHEN FAULT [ARGUMENT], `network TIME lanes N` or `counters shared`",
            Reason::Function => "the first word is neither `*` nor a function of PKCS#11 2.40",
            Reason::When => "the second word is none of `every`, `every/K`, `N`, `N+`, `N-M`, with numbers from 1",
            Reason::Fault => "there is no such fault",
            Reason::Argument => "the argument is missing, out of range or one too many",
            Reason::DoesNotFit => "this fault cannot hit this function",
            Reason::Repeated => "`network` and `counters` stand once",
            Reason::TooMany => "too many faults",
        };
        write!(f, "{}: {reason}", self.line)
    }
}

impl Script {
    pub(crate) fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut script = Self::default();
        for (at, line) in text.lines().enumerate() {
            let code = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = code.split_ascii_whitespace().collect();
            script.take(&words).map_err(|reason| ScriptError { line: at + 1, reason })?;
        }
        Ok(script)
    }

    fn take(&mut self, words: &[&str]) -> Result<(), Reason> {
        match words {
            [] => Ok(()),
            ["counters", "shared"] if self.shared_counters => Err(Reason::Repeated),
            ["counters", "shared"] => {
                self.shared_counters = true;
                Ok(())
            }
            ["network", latency, "lanes", lanes] => {
                let latency = time(latency).ok_or(Reason::Argument)?;
                let lanes = number(lanes).and_then(|lanes| usize::try_from(lanes).ok());
                let lanes = lanes.filter(|lanes| *lanes <= LANES_MAX).ok_or(Reason::Argument)?;
                if self.network.replace(Line { latency, lanes }).is_some() {
                    return Err(Reason::Repeated);
                }
                Ok(())
            }
            [function, when, fault, argument @ ..] => {
                let function = match *function {
                    "*" => None,
                    name => Some(Function::named(name).ok_or(Reason::Function)?),
                };
                let when = When::parse(when).ok_or(Reason::When)?;
                let fault = Fault::parse(fault, argument)?;
                if !function.is_none_or(|function| fault.can_hit(function)) {
                    return Err(Reason::DoesNotFit);
                }
                self.rules.push(Rule { function, when, fault });
                if self.rules.len() > RULES_MAX { Err(Reason::TooMany) } else { Ok(()) }
            }
            _ => Err(Reason::Words),
        }
    }
}

impl When {
    fn parse(text: &str) -> Option<Self> {
        if text == "every" {
            return Some(Self::EveryNth(1));
        }
        if let Some(step) = text.strip_prefix("every/") {
            return number(step).map(Self::EveryNth);
        }
        if let Some(first) = text.strip_suffix('+') {
            return number(first).map(|first| Self::Between { first, last: u64::MAX });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (number(first)?, number(last)?);
        (first <= last).then_some(Self::Between { first, last })
    }

    pub(crate) fn holds(self, call: u64) -> bool {
        match self {
            Self::Between { first, last } => (first..=last).contains(&call),
            Self::EveryNth(step) => call.is_multiple_of(step),
        }
    }
}

impl Fault {
    fn parse(name: &str, arguments: &[&str]) -> Result<Self, Reason> {
        let argument = match arguments {
            [] => None,
            [one] => Some(*one),
            _ => return Err(Reason::Argument),
        };
        let size = |text| number(text).and_then(|number| usize::try_from(number).ok());
        let made = match (name, argument) {
            ("memory-full", None) => Some(Self::MemoryFull),
            ("hang", None) => Some(Self::Hang),
            ("crash", None) => Some(Self::Crash),
            ("crash-after", None) => Some(Self::CrashAfter),
            ("drop-session", None) => Some(Self::DropSession),
            ("drop-login", None) => Some(Self::DropLogin),
            ("repeat-answer", None) => Some(Self::RepeatAnswer),
            ("wrong-check-value", None) => Some(Self::WrongCheckValue),
            ("duplicate-object", None) => Some(Self::DuplicateObject),
            ("missing-object", None) => Some(Self::MissingObject),
            ("other-object", None) => Some(Self::OtherObject),
            ("census", None) => Some(Self::Census),
            ("flip-bit", None) => Some(Self::FlipBit(None)),
            // Bits count from 0, everything else from 1.
            ("flip-bit", Some("0")) => Some(Self::FlipBit(Some(0))),
            ("flip-bit", Some(bit)) => size(bit).map(|bit| Self::FlipBit(Some(bit))),
            ("return", Some(value)) => return_value(value).map(Self::Return),
            ("said-error", Some(value)) => return_value(value).map(Self::SaidError),
            ("delay", Some(text)) => time(text).map(Self::Delay),
            ("slow", Some(text)) => time(text).map(Self::Slow),
            ("lose-token", Some(calls)) => number(calls).map(|calls| Self::LoseToken { calls }),
            ("truncate", Some(bytes)) => size(bytes).map(Self::Truncate),
            ("long-answer", Some(bytes)) => size(bytes).map(Self::LongAnswer),
            ("length-plus", Some(bytes)) => size(bytes).map(Self::LengthPlus),
            _ => None,
        };
        made.ok_or(if NAMES.contains(&name) { Reason::Argument } else { Reason::Fault })
    }

    /// Can a call of this function go wrong in this way?
    pub(crate) fn can_hit(self, function: Function) -> bool {
        match self {
            Self::Return(_) | Self::Delay(_) | Self::Hang | Self::Crash | Self::CrashAfter | Self::SaidError(_) => {
                function != Function::C_GetFunctionList
            }
            Self::Slow(_) => function.reaches_token(),
            Self::MemoryFull => function.takes_room(),
            Self::DropSession | Self::DropLogin | Self::Census => function.takes_session(),
            Self::LoseToken { .. } => function.takes_session() || function.takes_slot(),
            Self::FlipBit(_) | Self::Truncate(_) | Self::LongAnswer(_) => {
                function.answers_bytes() || function == Function::C_GetAttributeValue
            }
            Self::LengthPlus(_) => function.answers_bytes(),
            Self::RepeatAnswer => {
                function.answers_bytes() || function.answers_object() || function == Function::C_GenerateRandom
            }
            Self::OtherObject => function.takes_object(),
            Self::WrongCheckValue => function == Function::C_GetAttributeValue,
            Self::DuplicateObject | Self::MissingObject => function == Function::C_FindObjects,
        }
    }

    /// Is it decided when the call begins?
    pub(crate) fn is_early(self) -> bool {
        matches!(
            self,
            Self::Return(_)
                | Self::MemoryFull
                | Self::Delay(_)
                | Self::Slow(_)
                | Self::Hang
                | Self::Crash
                | Self::DropSession
                | Self::DropLogin
                | Self::LoseToken { .. }
                | Self::Census
        )
    }
}

/// As the record of fired faults names it.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Return(value) => write!(f, "return:{}", return_name(*value)),
            Self::MemoryFull => f.write_str("memory-full"),
            Self::Delay(time) => write!(f, "delay:{}us", time.as_micros()),
            Self::Slow(time) => write!(f, "slow:{}us", time.as_micros()),
            Self::Hang => f.write_str("hang"),
            Self::Crash => f.write_str("crash"),
            Self::DropSession => f.write_str("drop-session"),
            Self::DropLogin => f.write_str("drop-login"),
            Self::LoseToken { calls } => write!(f, "lose-token:{calls}"),
            Self::CrashAfter => f.write_str("crash-after"),
            Self::SaidError(value) => write!(f, "said-error:{}", return_name(*value)),
            Self::FlipBit(None) => f.write_str("flip-bit"),
            Self::FlipBit(Some(bit)) => write!(f, "flip-bit:{bit}"),
            Self::Truncate(bytes) => write!(f, "truncate:{bytes}"),
            Self::LongAnswer(bytes) => write!(f, "long-answer:{bytes}"),
            Self::RepeatAnswer => f.write_str("repeat-answer"),
            Self::LengthPlus(bytes) => write!(f, "length-plus:{bytes}"),
            Self::WrongCheckValue => f.write_str("wrong-check-value"),
            Self::DuplicateObject => f.write_str("duplicate-object"),
            Self::MissingObject => f.write_str("missing-object"),
            Self::OtherObject => f.write_str("other-object"),
            Self::Census => f.write_str("census"),
        }
    }
}

const NAMES: &[&str] = &[
    "return",
    "memory-full",
    "delay",
    "slow",
    "hang",
    "crash",
    "drop-session",
    "drop-login",
    "lose-token",
    "crash-after",
    "said-error",
    "flip-bit",
    "truncate",
    "long-answer",
    "repeat-answer",
    "length-plus",
    "wrong-check-value",
    "duplicate-object",
    "missing-object",
    "other-object",
    "census",
];

/// A decimal number from 1, digits only.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number > 0)
}

/// A number with its unit.
fn time(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number = number(digits)?;
    let time = match unit {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => return None,
    };
    (time <= TIME_MAX).then_some(time)
}
