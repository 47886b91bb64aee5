//! Writing links: one after another, each on the disk before its events are.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use vocabulary::Timestamp;

use super::{Key, LONGEST_LINE, Link, files, name_of};

/// The end of a chain.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    key: Key,
    number: u64,
    after: String,
    file: Option<Current>,
    unsettled: Option<Link>,
}

#[derive(Debug)]
struct Current {
    name: String,
    file: File,
    /// Bytes of whole lines.
    length: u64,
}

impl Writer {
    /// Goes on where the chain in `directory` ends, or begins one. A line that a crash has cut off is taken away: its events were
    /// never written. Where the last link is not of this key, a new chain begins behind it, which [`super::verify`] tells.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(directory: &Path, key: Key) -> io::Result<Writer> {
        fs::create_dir_all(directory)?;
        let mut writer = Writer {
            directory: directory.to_owned(),
            key,
            number: 0,
            after: String::new(),
            file: None,
            unsettled: None,
        };
        let Some((_, path)) = files(directory)?.pop() else { return Ok(writer) };
        let (last, length) = last_line(&path)?;
        let file = OpenOptions::new().append(true).open(&path)?;
        file.set_len(length)?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        writer.file = Some(Current { name, file, length });
        match last.as_deref().map(|line| writer.key.read(line)) {
            Some(Some((link, code))) => {
                (writer.number, writer.after) = (link.number + 1, code);
                writer.unsettled = Some(link);
            }
            Some(None) => {
                tracing::error!(file = %path.display(), "the last link of the audit trail's chain was not made by this platform's key; a new chain begins");
            }
            // The file of a day whose only line was cut off.
            None => return Writer::open_before(writer, &path),
        }
        Ok(writer)
    }

    /// Without an empty last file.
    fn open_before(writer: Writer, empty: &Path) -> io::Result<Writer> {
        fs::remove_file(empty)?;
        Writer::open(&writer.directory, writer.key)
    }

    /// Where it lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The code of the last link.
    #[cfg(test)]
    pub fn head(&self) -> &str {
        &self.after
    }

    /// The link that was last before this process, once: its events may not have been written.
    pub fn unsettled(&mut self) -> Option<Link> {
        self.unsettled.take()
    }

    /// Puts a link at the end, with number, time and predecessor set here. On the disk when this answers.
    ///
    /// # Errors
    /// What the disk says; then nothing of it is there, and it can be tried again.
    pub fn append(&mut self, link: &Link, now: Timestamp) -> io::Result<()> {
        let link =
            Link { number: self.number, at: now.as_millis(), after: self.after.clone(), ..link.clone() };
        let (line, code) = self.key.line(&link);
        let directory = self.directory.clone();
        let current = self.current(&name_of(link.at))?;
        let written =
            current.file.write_all(format!("{line}\n").as_bytes()).and_then(|()| current.file.sync_data());
        if let Err(error) = written {
            // A part of the line would look like tampering.
            current.file.set_len(current.length)?;
            return Err(error);
        }
        if current.length == 0 {
            File::open(directory)?.sync_all()?;
        }
        current.length += line.len() as u64 + 1;
        (self.number, self.after) = (self.number + 1, code);
        Ok(())
    }

    /// The file of the day. One never goes back to an earlier one, whatever the clock does.
    fn current(&mut self, name: &str) -> io::Result<&mut Current> {
        let stays = self.file.as_ref().is_some_and(|current| name <= current.name.as_str());
        if !stays {
            let path = self.directory.join(name);
            let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
            let length = file.seek(io::SeekFrom::End(0))?;
            self.file = Some(Current { name: name.to_owned(), file, length });
        }
        self.file.as_mut().ok_or_else(|| io::Error::other("no file"))
    }
}

/// The last whole line, and the bytes of all whole lines.
fn last_line(path: &Path) -> io::Result<(Option<String>, u64)> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut last, mut length) = (None, 0);
    loop {
        let mut line = Vec::new();
        let read = (&mut reader).take(LONGEST_LINE as u64).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok((last, length));
        }
        length += read as u64;
        // What is no text was not made by the key either.
        last = Some(String::from_utf8(line).unwrap_or_default());
    }
}
