//! The QR code of a device id, as few bytes: Syncthing's apps read the bare id from it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qrcode::{Color, EcLevel, QrCode};

/// The modules of a text's code, row by row without the quiet zone, eight to a byte and the first
/// in the highest bit; dark is 1. Their number says how long a row is: it is a square. `None` for
/// a text too long for a code.
pub(super) fn bits(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let modules = code.to_colors();
    let byte = |eight: &[Color]| {
        let bit = |(i, c): (usize, &Color)| u8::from(*c == Color::Dark) << (7 - i);
        eight.iter().enumerate().map(bit).sum::<u8>()
    };
    let packed: Vec<u8> = modules.chunks(8).map(byte).collect();
    Some(STANDARD.encode(packed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_id_fits_a_small_square_with_its_finder_patterns() {
        let id = "P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2";
        let packed = STANDARD.decode(bits(id).unwrap()).unwrap();
        // Version 4: 33 modules a side.
        const N: usize = 33;
        assert_eq!(packed.len(), (N * N).div_ceil(8));
        let dark = |y: usize, x: usize| packed[(y * N + x) / 8] >> (7 - (y * N + x) % 8) & 1 == 1;
        for (y, x) in [(0, 0), (0, N - 7), (N - 7, 0)] {
            assert!((0..7).all(|i| dark(y, x + i) && dark(y + 6, x + i)));
            assert!((1..6).all(|i| !dark(y + 1, x + i)));
        }
        assert_eq!(bits(&"x".repeat(3_000)), None);
    }
}
