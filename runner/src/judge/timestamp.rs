//! The time that Xen prints in front of what it says (`console_timestamps`, `printk_start_of_line`
//! in xen/drivers/char/console.c).
//!
//! Until Xen has a wall clock, `date` and `datems` look like `boot`. Until it has a clock at all,
//! they look like `raw`.

/// No time is longer.
const LONGEST: usize = 24;

/// `text` without the time at its beginning, if there is one.
pub fn strip(text: &str) -> &str {
    let stamped = || {
        let text = text.strip_prefix('[')?;
        let end = text.bytes().take(LONGEST).position(|byte| byte == b']')?;
        let rest = text[end..].strip_prefix("] ")?;
        is_time(&text[..end]).then_some(rest)
    };
    stamped().unwrap_or(text)
}

fn is_time(text: &str) -> bool {
    is_date(text) || is_boot(text) || is_raw(text)
}

/// `date`: `2026-01-02 03:04:05`; `datems`: the same and `.678`.
fn is_date(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00 00:00:00" || shape == "0000-00-00 00:00:00.000"
}

/// `boot`: seconds, filled up with blanks to five characters, and six digits of microseconds.
fn is_boot(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let Some((seconds, micros)) = text.split_once('.') else { return false };
    seconds.len() >= 5 && digits(seconds.trim_start()) && micros.len() == 6 && digits(micros)
}

/// `raw`: 16 hexadecimal digits of the time stamp counter.
fn is_raw(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_a_time() {
        for time in [
            "2026-01-02 03:04:05",
            "2026-01-02 03:04:05.678",
            "    2.354000",
            "123456.000001",
            "000000012f4c9f04",
        ] {
            assert_eq!(strip(&format!("[{time}] Panic on CPU 0:")), "Panic on CPU 0:", "{time}");
            assert_eq!(strip(&format!("[{time}] [{time}] x")), format!("[{time}] x"));
        }
    }

    #[test]
    fn what_else_is_in_brackets_is_none() {
        for text in [
            "[error_code=0010]",
            "[<ffff82d040322a8e>] S smp_send_call_function_mask+0xe/0x40",
            "[2.354000] too short for a time",
            "[    2.354] too short for a time",
            "[000000012f4c9f0] too short for a counter",
            "[000000012f4c9f0x] no counter",
            "[    2.3540001] too long for a time",
            "[    x.354000] no seconds",
            "[     .354000] no seconds",
            "[    2.35400x] no microseconds",
            "[2026-01-02] no time of day",
            "[000000012f4c9f04, 000000012f4cffff] (usable)",
            "[    2.354000]no blank",
            "[    2.354000",
            "[",
            "",
        ] {
            assert_eq!(strip(text), text);
        }
    }
}
