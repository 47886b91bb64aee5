//! Writing links: one after another, each on the disk before its events are.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use vocabulary::Timestamp;

use super::{
    Key, LONGEST_LINE, Link, MARK_EVERY, files,
    mark::{self, Found, Mark},
    name_of,
};

/// The end of a chain.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    key: Key,
    /// Of the next link.
    number: u64,
    after: String,
    previous: Option<i64>,
    file: Option<Current>,
    unsettled: Option<Link>,
    /// Lets the next link fail when its line is written.
    #[cfg(test)]
    pub fails: bool,
}

#[derive(Debug)]
struct Current {
    name: String,
    file: File,
    /// Bytes of whole lines.
    length: u64,
    /// Whether there may be more in it, of a line that could not be written.
    dirty: bool,
}

impl Current {
    /// Takes away what is left of a line: it would look like tampering.
    fn clean(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.set_len(self.length)?;
            self.dirty = false;
        }
        Ok(())
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()
    }
}

impl Writer {
    /// Goes on where the chain in `directory` ends, or begins one. A line that a crash has cut off is taken away: its events were
    /// never written. Where the last link is not of this key, a new chain begins behind it; where the chain ends before its mark, it goes
    /// on behind the mark. [`super::verify`] tells both.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(directory: &Path, key: Key) -> io::Result<Writer> {
        fs::create_dir_all(directory)?;
        directory.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
        let mut writer = Writer {
            directory: directory.to_owned(),
            key,
            number: 0,
            after: String::new(),
            previous: None,
            file: None,
            unsettled: None,
            #[cfg(test)]
            fails: false,
        };
        writer.find_end()?;
        match mark::read(directory, &writer.key)? {
            Found::Mark(mark) if mark.mark >= writer.number => {
                tracing::error!(
                    number = mark.mark,
                    "links of the audit trail's chain are missing: it had come further"
                );
                (writer.number, writer.after, writer.previous) = (mark.mark + 1, mark.code, Some(mark.at));
            }
            Found::Forged => {
                tracing::error!("the mark of the audit trail's chain was not made by this platform's key");
                writer.set_mark();
            }
            Found::Mark(_) | Found::Nothing => writer.set_mark(),
        }
        Ok(writer)
    }

    fn find_end(&mut self) -> io::Result<()> {
        let Some((_, path)) = files(&self.directory)?.pop() else { return Ok(()) };
        let (last, length) = last_line(&path)?;
        let file = OpenOptions::new().append(true).open(&path)?;
        file.set_len(length)?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        self.file = Some(Current { name, file, length, dirty: false });
        match last.as_deref().map(|line| self.key.read::<Link>(line)) {
            Some(Some((link, code))) => {
                (self.number, self.after, self.previous) = (link.number + 1, code, Some(link.at));
                self.unsettled = Some(link);
            }
            Some(None) => {
                tracing::error!(file = %path.display(), "the last link of the audit trail's chain was not made by this platform's key; a new chain begins");
            }
            // The file of a day whose only line was cut off.
            None => {
                self.file = None;
                fs::remove_file(&path)?;
                return self.find_end();
            }
        }
        Ok(())
    }

    /// Marks the last link.
    fn set_mark(&self) {
        let (Some(number), Some(at)) = (self.number.checked_sub(1), self.previous) else { return };
        let mark = Mark { mark: number, at, code: self.after.clone() };
        if let Err(error) = mark::set(&self.directory, &self.key, &mark) {
            tracing::warn!(%error, "the mark of the audit trail's chain could not be set");
        }
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
        let link = Link {
            number: self.number,
            at: now.as_millis(),
            after: self.after.clone(),
            previous: self.previous,
            ..link.clone()
        };
        let (line, code) = self.key.line(&link);
        #[cfg(test)]
        let fails = std::mem::take(&mut self.fails);
        let current = self.current(&name_of(link.at))?;
        let is_first = current.length == 0;
        current.dirty = true;
        current.write(&format!("{line}\n"))?;
        #[cfg(test)]
        if fails {
            return Err(io::Error::other("as wanted"));
        }
        current.dirty = false;
        current.length += line.len() as u64 + 1;
        (self.number, self.after, self.previous) = (self.number + 1, code, Some(link.at));
        if is_first || link.number.is_multiple_of(MARK_EVERY) {
            self.set_mark();
        }
        Ok(())
    }

    /// The file of the day, with nothing but whole lines in it, and a name that lasts. One never goes back to an earlier one, whatever the
    /// clock does.
    fn current(&mut self, name: &str) -> io::Result<&mut Current> {
        if let Some(current) = &mut self.file {
            current.clean()?;
        }
        let stays = self.file.as_ref().is_some_and(|current| name <= current.name.as_str());
        if !stays {
            let path = self.directory.join(name);
            let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
            let length = file.seek(io::SeekFrom::End(0))?;
            if length == 0 {
                File::open(&self.directory)?.sync_all()?;
            }
            self.file = Some(Current { name: name.to_owned(), file, length, dirty: false });
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
