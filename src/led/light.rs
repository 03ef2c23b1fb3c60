//! The lights themselves: a header pin, the board's own LED, and a twin in memory for tests.
//!
//! In comes on or off. A light never blocks and never decides what is shown.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Something that can be lit.
pub trait Light: Send {
    /// Lights it or darkens it.
    fn set(&mut self, on: bool) -> Result<(), LightError>;
    /// What it is, for the log.
    fn name(&self) -> String;
}

/// Why a light can't be had or moved.
#[derive(Debug, thiserror::Error)]
pub enum LightError {
    /// The header pin.
    #[error(
        "the LED on header pin BCM {pin} can't be used: {source}; check `[led] pin` in larder.toml, \
         or set it to \"none\" and watch the board's own LED"
    )]
    Pin {
        /// BCM number.
        pin: u8,
        /// What the GPIO driver said.
        source: rppal::gpio::Error,
    },
    /// The board's LED.
    #[error("the board's own LED at {path} can't be used: {source}")]
    Board {
        /// Its file in the kernel's LED class.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no LED of a known name.
    #[error("no board LED named ACT or led0 in {0}; an LED on a header pin still works")]
    NoBoardLed(PathBuf),
}

/// An LED between a header pin and ground (or 3.3 V when active low), by BCM number.
#[derive(Debug)]
pub struct HeaderPin {
    pin: rppal::gpio::OutputPin,
    active_low: bool,
}

impl HeaderPin {
    /// Takes the pin. The GPIO registers are opened now (`/dev/gpiomem`, else `/dev/mem`, which
    /// needs root and a kernel started with `iomem=relaxed`).
    pub fn open(pin: u8, active_low: bool) -> Result<Self, LightError> {
        let taken = rppal::gpio::Gpio::new().and_then(|gpio| gpio.get(pin));
        let pin = taken.map_err(|source| LightError::Pin { pin, source })?;
        let mut pin = if active_low { pin.into_output_high() } else { pin.into_output_low() };
        // The pin keeps its last level when we go, so that "dark" stays dark.
        pin.set_reset_on_drop(false);
        Ok(Self { pin, active_low })
    }
}

impl Light for HeaderPin {
    fn set(&mut self, on: bool) -> Result<(), LightError> {
        if on == self.active_low {
            self.pin.set_low();
        } else {
            self.pin.set_high();
        }
        Ok(())
    }

    fn name(&self) -> String {
        format!("header pin BCM {}", self.pin.pin())
    }
}

/// An LED of the kernel's LED class.
#[derive(Debug)]
pub struct BoardLed {
    path: PathBuf,
    brightness: File,
    full: String,
}

impl BoardLed {
    /// Takes the activity LED below `class` (`/sys/class/leds`): its trigger is set to `none`, so
    /// that the kernel no longer moves it.
    pub fn open(class: &Path) -> Result<Self, LightError> {
        let names = ["ACT", "led0"];
        let path = names.iter().map(|name| class.join(name)).find(|path| path.is_dir());
        let path = path.ok_or_else(|| LightError::NoBoardLed(class.to_path_buf()))?;
        let fail = |source| LightError::Board { path: path.clone(), source };
        let write = |name: &str| OpenOptions::new().write(true).open(path.join(name));
        write("trigger").and_then(|mut file| file.write_all(b"none")).map_err(fail)?;
        let full = std::fs::read_to_string(path.join("max_brightness")).map_err(fail)?;
        let brightness = write("brightness").map_err(fail)?;
        Ok(Self { brightness, full: full.trim().to_owned(), path })
    }
}

impl Light for BoardLed {
    fn set(&mut self, on: bool) -> Result<(), LightError> {
        let value = if on { self.full.as_bytes() } else { b"0" };
        self.brightness
            .write_all_at(value, 0)
            .map_err(|source| LightError::Board { path: self.path.clone(), source })
    }

    fn name(&self) -> String {
        format!("board LED {}", self.path.display())
    }
}

/// A light in memory: what it was told, in order.
#[derive(Clone, Debug, Default)]
pub struct MemoryLight(Arc<Mutex<Vec<bool>>>);

impl MemoryLight {
    /// Everything it was told so far.
    pub fn seen(&self) -> Vec<bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Light for MemoryLight {
    fn set(&mut self, on: bool) -> Result<(), LightError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(on);
        Ok(())
    }

    fn name(&self) -> String {
        "light in memory".into()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a made-up /sys is plain files
mod tests {
    use super::*;

    fn class(name: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let led = dir.path().join(name);
        std::fs::create_dir(&led).unwrap();
        std::fs::write(led.join("trigger"), "none [mmc0] timer\n").unwrap();
        std::fs::write(led.join("max_brightness"), "1\n").unwrap();
        std::fs::write(led.join("brightness"), "9").unwrap();
        (dir, led)
    }

    #[test]
    fn the_board_led_is_taken_from_the_kernel_and_moved() {
        for name in ["ACT", "led0"] {
            let (dir, led) = class(name);
            let mut light = BoardLed::open(dir.path()).unwrap();
            assert!(std::fs::read_to_string(led.join("trigger")).unwrap().starts_with("none"));
            light.set(true).unwrap();
            assert_eq!(std::fs::read_to_string(led.join("brightness")).unwrap(), "1");
            light.set(false).unwrap();
            assert_eq!(std::fs::read_to_string(led.join("brightness")).unwrap(), "0");
        }
    }

    #[test]
    fn a_board_without_led_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(BoardLed::open(dir.path()), Err(LightError::NoBoardLed(_))));
    }
}
