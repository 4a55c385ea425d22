//! Content on its way to hosts, a piece at a time.
//!
//! Hosts that are sent the same content at about the same time share its pieces: each is read, and packed, once.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Context, Result};
use crate::wire::{CHUNK, Piece};

/// How many pieces are kept for other hosts: 12 MiB.
const KEPT: usize = 12 * 1024 * 1024 / CHUNK;

/// A host that is so many pieces ahead of another waits a little, so that both are sent the same ones.
const AHEAD: u64 = KEPT as u64 / 2;

/// A host that took no piece for so long is waited for by nobody.
const STALLED: Duration = Duration::from_millis(500);

/// After content that did not shrink, every so many pieces it is tried again.
const TRIED: u64 = 8;

/// Content that can be read from any place in it.
pub trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// Opens some content once more.
pub(super) type Opener = Arc<dyn Fn() -> Result<Box<dyn Source>> + Send + Sync>;

/// A piece that one host reads while others wait for it.
type Slot = Arc<Mutex<Option<Arc<Piece>>>>;

/// Which content, by its digest, and which piece of it.
type Key = (Arc<str>, u64);

/// The pieces that were sent last, and who is sent what.
#[derive(Default)]
pub struct Recent {
    kept: Mutex<(HashMap<Key, Slot>, VecDeque<Key>)>,
    sent: Mutex<Vec<Sent>>,
}

/// How far a host is with some content.
struct Sent {
    host: u64,
    content: Arc<str>,
    pieces: u64,
    last: Instant,
}

impl Recent {
    fn slot(&self, content: &Arc<str>, number: u64) -> Slot {
        let key = (Arc::clone(content), number);
        let mut kept = lock(&self.kept);
        let (slots, order) = &mut *kept;
        if let Some(slot) = slots.get(&key) {
            return Arc::clone(slot);
        }
        if order.len() == KEPT
            && let Some(oldest) = order.pop_front()
        {
            slots.remove(&oldest);
        }
        order.push_back(key.clone());
        Arc::clone(slots.entry(key).or_default())
    }

    fn begin(&self, content: &Arc<str>) -> u64 {
        let mut sent = lock(&self.sent);
        let host = sent.iter().map(|one| one.host + 1).max().unwrap_or_default();
        sent.push(Sent { host, content: Arc::clone(content), pieces: 0, last: Instant::now() });
        host
    }

    fn went_on(&self, host: u64, pieces: u64) {
        if let Some(one) = lock(&self.sent).iter_mut().find(|one| one.host == host) {
            (one.pieces, one.last) = (pieces, Instant::now());
        }
    }

    fn is_ahead(&self, content: &str, pieces: u64) -> bool {
        let behind =
            |one: &Sent| *one.content == *content && one.pieces + AHEAD < pieces && one.last.elapsed() < STALLED;
        lock(&self.sent).iter().any(behind)
    }
}

/// Content on its way to one host.
pub struct Pieces {
    origin: Origin,
    next: u64,
    packs: bool,
    /// Whether the last bytes have been taken.
    over: bool,
}

enum Origin {
    /// Content that other hosts may be sent as well. The reader stands before the piece of that number.
    Shared { recent: Arc<Recent>, host: u64, content: Arc<str>, open: Opener, reader: Option<(Box<dyn Source>, u64)> },
    /// What is sent to this host only.
    Own(Box<dyn Read + Send>),
}

impl Pieces {
    /// The pieces of content that has this digest.
    pub fn shared(recent: Arc<Recent>, sha256: &str, open: Opener) -> Self {
        let content = sha256.into();
        let host = recent.begin(&content);
        Self { origin: Origin::Shared { recent, host, content, open, reader: None }, next: 0, packs: true, over: false }
    }

    /// The pieces of what is read.
    pub fn own(reader: Box<dyn Read + Send>) -> Self {
        Self { origin: Origin::Own(reader), next: 0, packs: true, over: false }
    }

    /// Whether others that are sent the same, and get on with it, are so far behind that they would soon have to read
    /// again what was read for this one.
    pub fn is_ahead(&self) -> bool {
        matches!(&self.origin, Origin::Shared { recent, content, .. } if recent.is_ahead(content, self.next))
    }

    /// The next piece; an empty one is the end.
    ///
    /// # Errors
    /// When the content cannot be read, or is not what it was.
    pub fn take(&mut self) -> Result<Arc<Piece>> {
        if self.over {
            return Ok(Arc::new(Piece::plain(Vec::new())));
        }
        let number = self.next;
        let tries = self.packs || number.is_multiple_of(TRIED);
        let piece = match &mut self.origin {
            Origin::Own(reader) => Arc::new(read(reader, tries)?),
            Origin::Shared { recent, host, content, open, reader } => {
                recent.went_on(*host, number);
                let slot = recent.slot(content, number);
                let mut kept = lock(&slot);
                if let Some(piece) = &*kept {
                    Arc::clone(piece)
                } else {
                    let (source, at) = match reader {
                        Some(reader) => reader,
                        None => reader.insert((open()?, 0)),
                    };
                    if *at != number {
                        source.seek(SeekFrom::Start(number * CHUNK as u64)).or_step(unreadable)?;
                    }
                    let piece = Arc::new(read(source, tries)?);
                    *at = number + 1;
                    *kept = Some(Arc::clone(&piece));
                    piece
                }
            }
        };
        self.packs = piece.is_packed();
        self.over = !piece.is_full();
        self.next += 1;
        Ok(piece)
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if let Origin::Shared { recent, host, .. } = &self.origin {
            lock(&recent.sent).retain(|one| one.host != *host);
        }
    }
}

fn read(source: &mut dyn Read, tries: bool) -> Result<Piece> {
    let mut bytes = Vec::with_capacity(CHUNK);
    source.take(CHUNK as u64).read_to_end(&mut bytes).or_step(unreadable)?;
    Ok(if tries { Piece::packed(bytes) } else { Piece::plain(bytes) })
}

fn unreadable() -> String {
    "cannot read the content to send".to_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Cursor};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::Error;

    /// Content that counts the bytes that were read of it.
    struct Counted(Cursor<Vec<u8>>, Arc<AtomicUsize>);

    impl Read for Counted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.read(buffer)?;
            self.1.fetch_add(count, Ordering::SeqCst);
            Ok(count)
        }
    }

    impl Seek for Counted {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    fn content(size: usize) -> (Vec<u8>, Opener, Arc<AtomicUsize>) {
        let bytes: Vec<u8> = (0..size).map(|n| u8::try_from((n * n / 977) % 251).unwrap()).collect();
        let (own, counter) = (bytes.clone(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&counter);
        (bytes, Arc::new(move || Ok(Box::new(Counted(Cursor::new(own.clone()), Arc::clone(&count))))), counter)
    }

    /// Takes some pieces, puts what a host would read behind what it has, and says whether that was all.
    fn take(pieces: &mut Pieces, count: usize, into: &mut Vec<u8>) -> bool {
        for _ in 0..count {
            let piece = pieces.take().unwrap();
            if piece.is_end() {
                return true;
            }
            let mut stream = crate::wire::encode_piece(1, &piece);
            match crate::wire::decode(&mut stream).unwrap().unwrap() {
                crate::wire::Frame::Blob(1, bytes) => into.extend(bytes),
                other => panic!("{other:?}"),
            }
        }
        false
    }

    #[test]
    fn hosts_that_are_sent_the_same_at_the_same_time_have_it_read_once() {
        let (bytes, open, counter) = content(40 * CHUNK + 17);
        let recent = Arc::new(Recent::default());
        let mut hosts: Vec<_> =
            (0..13).map(|_| (Pieces::shared(Arc::clone(&recent), "d", Arc::clone(&open)), Vec::new())).collect();
        // Some are faster than others.
        let mut done = 0;
        while done < 13 {
            done = hosts
                .iter_mut()
                .enumerate()
                .filter_map(|(n, (pieces, had))| take(pieces, n + 1, had).then_some(n))
                .count();
        }
        assert!(hosts.iter().all(|(_, had)| *had == bytes));
        assert_eq!(counter.load(Ordering::SeqCst), bytes.len());
    }

    #[test]
    fn a_host_that_fell_far_behind_reads_for_itself_from_where_it_is() {
        let (bytes, open, counter) = content(2 * KEPT * CHUNK);
        let recent = Arc::new(Recent::default());
        let sent = || Pieces::shared(Arc::clone(&recent), "d", Arc::clone(&open));
        let (mut fast, mut slow) = ((sent(), Vec::new()), (sent(), Vec::new()));
        take(&mut slow.0, 10, &mut slow.1);
        assert!(take(&mut fast.0, 1000, &mut fast.1) && take(&mut slow.0, 1000, &mut slow.1));
        assert_eq!((fast.1 == bytes, slow.1 == bytes), (true, true));
        // Not the ten it had already.
        assert_eq!(counter.load(Ordering::SeqCst), 2 * bytes.len() - 10 * CHUNK);
        assert!(lock(&recent.kept).0.len() <= KEPT);
    }

    #[test]
    fn the_end_is_known_to_a_host_that_read_nothing_itself() {
        let (bytes, _, _) = content(3 * CHUNK + 5);
        let whole = bytes.clone();
        // A limit cannot be passed, unlike the end of a file.
        let size = bytes.len() as u64;
        let open: Opener = Arc::new(move || Ok(Box::new(Cursor::new(whole.clone()).take(size))));
        let recent = Arc::new(Recent::default());
        let sent = || Pieces::shared(Arc::clone(&recent), "d", Arc::clone(&open));
        let (mut fast, mut slow) = ((sent(), Vec::new()), (sent(), Vec::new()));
        take(&mut fast.0, 4, &mut fast.1);
        take(&mut slow.0, 4, &mut slow.1);
        assert!(take(&mut slow.0, 1, &mut slow.1) && take(&mut fast.0, 1, &mut fast.1));
        assert_eq!((slow.1 == bytes, fast.1 == bytes), (true, true));
    }

    #[test]
    fn a_host_waits_for_those_that_get_on_and_for_no_other() {
        let (_, open, _) = content(KEPT * CHUNK);
        let recent = Arc::new(Recent::default());
        let sent = |what: &str| Pieces::shared(Arc::clone(&recent), what, Arc::clone(&open));
        let (mut fast, mut slow, _other) = (sent("d"), sent("d"), sent("e"));
        take(&mut fast, KEPT / 2, &mut Vec::new());
        assert!(!fast.is_ahead());
        take(&mut fast, 10, &mut Vec::new());
        take(&mut slow, 1, &mut Vec::new());
        assert!(fast.is_ahead() && !slow.is_ahead());
        std::thread::sleep(STALLED);
        assert!(!fast.is_ahead());
        take(&mut slow, 1, &mut Vec::new());
        assert!(fast.is_ahead());
        drop(slow);
        assert!(!fast.is_ahead());
    }

    #[test]
    fn what_one_host_could_not_read_another_tries_again() {
        let recent = Arc::new(Recent::default());
        let broken: Opener = Arc::new(|| Err(Error::playbook("`x` was changed during the run")));
        let (_, open, _) = content(5);
        assert!(Pieces::shared(Arc::clone(&recent), "d", broken).take().is_err());
        let mut had = Vec::new();
        assert!(take(&mut Pieces::shared(recent, "d", open), 2, &mut had));
        assert_eq!(had.len(), 5);
    }
}
