//! Streaming what was laid: each file is read once.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use layer::{Entry, Kind};
use runtime::tree::{Built, LayerBuilder};

use super::ahead::{Ahead, Fetched, READERS};
use super::draft::{self, Body, Content, Entries, LinkGroup};
use super::{FileError, Laid, Taken};
use crate::Cancel;

/// Streams what was laid. `progress` hears how many entries of how many are written.
pub(crate) fn write<W: Write + Send + 'static>(
    mut laid: Laid,
    builder: LayerBuilder<W>,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Built, W), FileError> {
    let entries = std::mem::take(&mut laid.entries);
    let ahead = Ahead::new(&entries, &laid.sources);
    if ahead.is_empty() {
        return laid.write(entries, &ahead, builder, cancel, progress);
    }
    std::thread::scope(|scope| {
        // The readers go whichever way this ends, a panic included.
        let _end = Ending(&ahead);
        for _ in 0..READERS {
            scope.spawn(|| ahead.fetch());
        }
        laid.write(entries, &ahead, builder, cancel, progress)
    })
}

struct Ending<'a>(&'a Ahead<'a>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Laid {
    fn write<W: Write + Send + 'static>(
        &self,
        entries: Entries,
        ahead: &Ahead<'_>,
        mut builder: LayerBuilder<W>,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Built, W), FileError> {
        let total = entries.len() as u64;
        let mut firsts: HashMap<LinkGroup, Vec<u8>> = HashMap::new();
        for (number, (path, planned)) in entries.into_iter().enumerate() {
            if cancel.is_cancelled() {
                return Err(FileError::Cancelled);
            }
            progress(number as u64, total);
            let path = path.into_vec();
            let mark = (planned.opaque && planned.kind == Kind::Dir).then(|| Entry::new(path.clone(), Kind::Opaque));
            let first = planned.links.and_then(|group| firsts.get(&group));
            if let Some(first) = first {
                let mut entry = self.entry(&planned.body);
                (entry.path, entry.kind, entry.size, entry.link) = (path, Kind::Hardlink, 0, first.clone());
                builder.append(entry, &mut io::empty(), None)?;
                continue;
            }
            if let Some(group) = planned.links {
                firsts.insert(group, path.clone());
            }
            self.append(&mut builder, path, planned.body, ahead.take(number).transpose()?)?;
            if let Some(mark) = mark {
                builder.append(mark, &mut io::empty(), None)?;
            }
        }
        progress(total, total);
        Ok(builder.finish()?)
    }

    fn entry(&self, body: &Body) -> Entry {
        match body {
            Body::Own(own) => own.0.clone(),
            Body::Taken { source, index } => self.sources[*source as usize].entry(*index as usize),
        }
    }

    /// Writes one entry and its content.
    fn append<W: Write + Send + 'static>(
        &self,
        builder: &mut LayerBuilder<W>,
        path: Vec<u8>,
        body: Body,
        fetched: Option<Fetched>,
    ) -> Result<(), FileError> {
        match body {
            Body::Taken { source, index } => {
                self.append_taken(builder, path, (source as usize, index as usize), fetched)
            }
            Body::Own(own) => {
                let (mut entry, content) = *own;
                entry.path = path;
                match content {
                    Content::None => builder.append(entry, &mut io::empty(), None)?,
                    Content::Bytes(bytes) => builder.append(entry, &mut bytes.as_slice(), None)?,
                    Content::Spool { offset } => {
                        (&self.spool).seek(SeekFrom::Start(offset)).map_err(FileError::Spool)?;
                        let size = entry.size;
                        builder.append(entry, &mut (&self.spool).take(size), None)?
                    }
                    Content::Target(path) => {
                        let node = self.target.lookup(&path, false).map_err(FileError::Target)?;
                        let node = node.ok_or_else(|| FileError::NotFound { path: draft::shown(&path), near: None })?;
                        builder.append(entry, &mut self.target.open(&node).map_err(FileError::Target)?, None)?
                    }
                };
                Ok(())
            }
        }
    }

    fn append_taken<W: Write + Send + 'static>(
        &self,
        builder: &mut LayerBuilder<W>,
        path: Vec<u8>,
        (source, index): (usize, usize),
        fetched: Option<Fetched>,
    ) -> Result<(), FileError> {
        let taken = &self.sources[source].taken;
        let mut entry = self.sources[source].entry(index);
        entry.path = path;
        if entry.kind != Kind::File {
            builder.append(entry, &mut io::empty(), None)?;
            return Ok(());
        }
        let known = taken.content(index);
        let digest = match fetched {
            Some(mut content) => builder.append(entry, &mut content, known)?,
            None => builder.append(entry, &mut taken.open(index)?, known)?,
        };
        if let (Taken::Context(context, selection), None, Some(digest)) = (taken, known, digest) {
            context.record(&selection.entries()[index].source, digest);
        }
        Ok(())
    }
}
