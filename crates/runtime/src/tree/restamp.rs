//! A layer's tar again, with other times.

use std::io::{Read, Write};

use layer::TarReader;

use super::{Built, LayerBuilder, StreamError};

/// Writes the canonical tar of what the uncompressed `tar` holds, no time in it after `clamp`: for a layer of which only
/// the tar is kept, when an export wants times bounded.
pub fn restamp<W: Write + Send + 'static>(
    tar: impl Read,
    clamp: Option<i64>,
    sink: W,
) -> Result<(Built, W), StreamError> {
    let mut reader = TarReader::new(tar);
    let mut builder = LayerBuilder::new(sink).clamp(clamp);
    while let Some((entry, mut content)) = reader.next_entry()? {
        builder.append(entry, &mut content, None)?;
    }
    reader.finish()?;
    Ok(builder.finish()?)
}
