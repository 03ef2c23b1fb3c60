//! A family's files, made on the spot: pictures, songs and texts that really open.

use anyhow::{Context as _, Result};
use flate2::{Compression, Crc, write::ZlibEncoder};
use std::f32::consts::{PI, TAU};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// Folder, the day it is of (days since 1970), and the pictures in it.
const ALBUMS: [(&str, u64, &[&str]); 4] = [
    (
        "Photos/2012/2012-08-11 Istanbul",
        15_563,
        &[
            "Galata tower",
            "Ferry at dusk",
            "Old market",
            "Cat on a wall",
            "Breakfast",
            "The bridge",
        ],
    ),
    (
        "Photos/2014/2014-02-02 Snow",
        16_103,
        &["The hill", "Snowman", "Sledge", "Tea afterwards", "Tracks"],
    ),
    (
        "Photos/2019/2019-07-20 Lake",
        18_097,
        &["Morning", "Boat", "First swim", "Picnic", "Thunder far away", "Evening"],
    ),
    (
        "Photos/2025/2025-05-04 Garden",
        20_212,
        &["Apple tree", "The new bench", "Seedlings", "Bees"],
    ),
];

/// A melody: semitones above A3 and lengths in eighths.
pub type Tune = &'static [(u8, u8)];
const ODE_TO_JOY: Tune = &[
    (7, 2),
    (7, 2),
    (8, 2),
    (10, 2),
    (10, 2),
    (8, 2),
    (7, 2),
    (5, 2),
    (3, 2),
    (3, 2),
    (5, 2),
    (7, 2),
    (7, 3),
    (5, 1),
    (5, 4),
];
const FRERE_JACQUES: Tune = &[
    (3, 2),
    (5, 2),
    (7, 2),
    (3, 2),
    (3, 2),
    (5, 2),
    (7, 2),
    (3, 2),
    (7, 2),
    (8, 2),
    (10, 4),
    (7, 2),
    (8, 2),
    (10, 4),
];
/// A song that comes into the house later.
pub const TWINKLE: Tune = &[
    (3, 2),
    (3, 2),
    (10, 2),
    (10, 2),
    (12, 2),
    (12, 2),
    (10, 4),
    (8, 2),
    (8, 2),
    (7, 2),
    (7, 2),
    (5, 2),
    (5, 2),
    (3, 4),
];

const TEXTS: [(&str, u64, &str); 5] = [
    (
        "Documents/House/Shopping list.txt",
        20_600,
        "Shopping list\n\n- flour\n- apples\n- candles\n",
    ),
    (
        "Documents/House/Meter readings.txt",
        20_454,
        "Meter readings\n\n2025-01-01   48 213 kWh\n2026-01-01   50 877 kWh\n",
    ),
    (
        "Documents/Recipes/Apple cake.txt",
        17_400,
        "Apple cake\n\n200 g flour, 120 g butter, 100 g sugar, 3 eggs, 5 apples.\n\
         Stir, slice the apples on top, 45 minutes at 180 degrees.\n",
    ),
    (
        "Documents/Recipes/Potato soup.txt",
        17_900,
        "Potato soup\n\n1 kg potatoes, 2 carrots, 1 leek, marjoram. Half an hour. Mash half of it.\n",
    ),
    (
        "Documents/Letters/To the landlord (draft).txt",
        18_800,
        "Dear Sir or Madam,\n\nthe roof still drips. The bucket is full again.\n",
    ),
];

/// Fills `files` with a family's things.
pub fn make(files: &Path) -> Result<()> {
    for (folder, day, names) in ALBUMS {
        for (n, name) in names.iter().enumerate() {
            let lot = u32::try_from(day * 31 + n as u64 * 7).unwrap_or(0);
            put(&files.join(folder).join(format!("{name}.png")), &picture(lot), day)?;
        }
    }
    let songs = files.join("Music/Old songs");
    put(&songs.join("01 - Ode to Joy.wav"), &song(ODE_TO_JOY), 14_000)?;
    put(&songs.join("02 - Frère Jacques.wav"), &song(FRERE_JACQUES), 14_000)?;
    for (name, day, text) in TEXTS {
        put(&files.join(name), text.as_bytes(), day)?;
    }
    Ok(())
}

/// Writes a file with the date of a day; makes the folders above it.
pub fn put(path: &Path, content: &[u8], day: u64) -> Result<()> {
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(path.parent().unwrap_or(path))?;
        let mut file = std::fs::File::create(path)?;
        file.write_all(content)?;
        file.set_modified(UNIX_EPOCH + Duration::from_secs(day * 86_400 + 43_200))
    };
    write().with_context(|| format!("{} can't be written", path.display()))
}

/// A landscape under a sun, as a PNG; another one for every `lot`.
pub fn picture(lot: u32) -> Vec<u8> {
    const WIDTH: u32 = 360;
    const HEIGHT: u32 = 240;
    let turn = |n: u32| (lot.wrapping_mul(n).wrapping_add(n * n) % 97) as f32 / 97.0;
    let hue = |shift: f32| {
        let part = |third: f32| 128.0 + 110.0 * ((turn(13) + shift + third) * TAU).cos();
        [part(0.0), part(1.0 / 3.0), part(2.0 / 3.0)]
    };
    let mix = |a: [f32; 3], b: [f32; 3], t: f32| {
        std::array::from_fn::<f32, 3, _>(|i| a[i] + (b[i] - a[i]) * t.clamp(0.0, 1.0))
    };
    let (sky, glow) = (hue(0.0), mix(hue(0.12), [255.0; 3], 0.6));
    let (sun_x, sun_y) = (0.2 + 0.6 * turn(5), 0.2 + 0.3 * turn(11));
    let hills: [f32; 3] = [0.62, 0.74, 0.88];
    let mut rows = Vec::new();
    for y in 0..HEIGHT {
        // Every row of a PNG begins with the filter it is written with: none.
        rows.push(0);
        let v = y as f32 / HEIGHT as f32;
        for x in 0..WIDTH {
            let u = x as f32 / WIDTH as f32;
            let away = ((u - sun_x) * 1.5).hypot(v - sun_y);
            let mut colour = mix(sky, glow, v * 1.2);
            colour = mix([255.0, 244.0, 214.0], colour, (away - 0.07) * 40.0);
            for (n, base) in hills.iter().enumerate() {
                let wave = (u * PI * (2.0 + n as f32) + turn(17 + n as u32) * TAU).sin();
                if v > base - 0.07 * wave {
                    colour =
                        mix(hue(0.45 + 0.06 * n as f32), [20.0, 30.0, 40.0], 0.3 + 0.2 * n as f32);
                }
            }
            rows.extend(colour.map(|c| c as u8));
        }
    }
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing into memory can't fail.
    let packed = packed.write_all(&rows).and_then(|()| packed.finish()).unwrap_or_default();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(data);
        png.extend((data.len() as u32).to_be_bytes());
        png.extend(kind);
        png.extend(data);
        png.extend(crc.sum().to_be_bytes());
    };
    // 8 bits a colour, three colours, no interlacing.
    let size = [&WIDTH.to_be_bytes()[..], &HEIGHT.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    chunk(b"IHDR", &size);
    chunk(b"IDAT", &packed);
    chunk(b"IEND", &[]);
    png
}

/// A melody played on something like a music box, as a WAV.
pub fn song(tune: Tune) -> Vec<u8> {
    const RATE: u32 = 8_000;
    const EIGHTH: u32 = RATE / 5;
    let mut sound = Vec::new();
    for &(semitone, eighths) in tune {
        let pitch = 220.0 * 2f32.powf(f32::from(semitone) / 12.0);
        for sample in 0..EIGHTH * u32::from(eighths) {
            let t = sample as f32 / RATE as f32;
            let wave = (t * pitch * TAU).sin() + 0.3 * (t * pitch * 2.0 * TAU).sin();
            sound.push((128.0 + 80.0 * wave * (-5.0 * t).exp()) as u8);
        }
    }
    let length = sound.len() as u32;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + length).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0");
    // PCM, one channel, a byte a sample.
    wav.extend([1, 0, 1, 0]);
    wav.extend([RATE.to_le_bytes(), RATE.to_le_bytes()].concat());
    wav.extend([1, 0, 8, 0]);
    wav.extend(b"data");
    wav.extend(length.to_le_bytes());
    wav.extend(sound);
    wav
}
