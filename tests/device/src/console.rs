//! What the test reads, printed without `core::fmt`, which takes more flash than DHCP.

use semihosting::io::{Write, stdout};

/// Prints a line.
pub fn line(text: &str) {
    print(&[text.as_bytes()]);
}

/// Prints a line of `label` and `number`.
pub fn number(label: &str, mut number: usize) {
    let mut digits = [0; 10];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    print(&[label.as_bytes(), &digits[first..]]);
}

fn print(texts: &[&[u8]]) {
    if let Ok(mut output) = stdout() {
        for text in texts.iter().chain(&[&b"\n"[..]]) {
            // Without a debugger there is nobody to complain to.
            let _ = output.write_all(text);
        }
    }
}
