//! Writes tar streams (ustar, POSIX.1-1988) as GNU tar does for `tar -c`.

/// Bytes in a tar block.
const BLOCK: usize = 512;
/// Blocks that GNU tar pads an archive to.
const RECORD: usize = 20 * BLOCK;

/// What a header needs to know of an entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Path without a leading slash; a directory's ends in a slash.
    pub path: &'a str,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub modified: u64,
    /// Content; `None` for a directory.
    pub content: Option<&'a [u8]>,
}

/// A whole archive of `entries`. Entries whose path does not fit into 100 bytes are left out and named in the result.
pub fn write<'a>(entries: impl IntoIterator<Item = Entry<'a>>) -> (Vec<u8>, Vec<&'a str>) {
    let mut out = Vec::new();
    let mut too_long = Vec::new();
    for entry in entries {
        if entry.path.len() > 100 {
            too_long.push(entry.path);
            continue;
        }
        out.extend_from_slice(&header(&entry));
        if let Some(content) = entry.content {
            out.extend_from_slice(content);
            out.resize(out.len().next_multiple_of(BLOCK), 0);
        }
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out.resize(out.len().next_multiple_of(RECORD), 0);
    (out, too_long)
}

/// What a `tar` command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Directory that paths start from.
    pub directory: &'a str,
    /// Paths to store.
    pub paths: Vec<&'a str>,
}

/// Reads the arguments of `tar`; `None` when they ask for anything but an uncompressed archive on standard output.
pub fn request<'a>(arguments: &[&'a str]) -> Option<Request<'a>> {
    let mut request = Request { directory: "/", paths: Vec::new() };
    let mut creates = false;
    let mut rest = arguments.iter().copied();
    let mut is_first = true;
    while let Some(argument) = rest.next() {
        let letters = argument.strip_prefix('-').or(is_first.then_some(argument));
        is_first = false;
        match letters {
            Some("C") => request.directory = rest.next()?,
            Some("-create") => creates = true,
            Some(long) if long.starts_with("-file=") => (long == "-file=-").then_some(())?,
            Some(long) if long.starts_with("-directory=") => request.directory = &long[11..],
            Some(long) if long.starts_with('-') => {}
            Some(short) => {
                for letter in short.chars() {
                    match letter {
                        'c' => creates = true,
                        'f' => (rest.next()? == "-").then_some(())?,
                        'p' | 'h' => {}
                        _ => return None,
                    }
                }
            }
            None => request.paths.push(argument),
        }
    }
    (creates && !request.paths.is_empty()).then_some(request)
}

/// Adds the directories between `asked` and `stored` that are not there yet.
pub fn add_parents(entries: &mut Vec<(String, u32, Option<&[u8]>)>, stored: &str, asked: &str) {
    let asked = asked.trim_matches('/').len();
    for (at, _) in stored.match_indices('/').filter(|(at, _)| *at >= asked) {
        let directory = &stored[..=at];
        if !entries.iter().any(|(known, ..)| known == directory) {
            entries.push((directory.to_owned(), 0o755, None));
        }
    }
}

fn header(entry: &Entry<'_>) -> [u8; BLOCK] {
    let mut block = [0_u8; BLOCK];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    let size = entry.content.map_or(0, <[u8]>::len);
    put(0, entry.path.as_bytes());
    put(100, format!("{:07o}\0", entry.mode).as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{:011o}\0", entry.modified).as_bytes());
    put(148, b"        ");
    put(156, if entry.content.is_some() { b"0" } else { b"5" });
    put(257, b"ustar\x0000");
    put(265, b"root");
    put(297, b"root");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_arguments_of_tar() {
        let asked = request(&["-C", "/", "-cf", "-", "--warning=no-file-changed", "etc/kubernetes"]).unwrap();
        assert_eq!(asked, Request { directory: "/", paths: vec!["etc/kubernetes"] });
        assert_eq!(request(&["cf", "-", "/etc"]).unwrap().paths, ["/etc"]);
        assert_eq!(request(&["-xf", "-"]), None);
        assert_eq!(request(&["-czf", "-", "etc"]), None);
    }

    #[test]
    fn has_headers_with_sums_and_whole_records() {
        let file = Entry { path: "etc/a", mode: 0o600, modified: 1_700_000_000, content: Some(b"hello") };
        let (bytes, too_long) = write([Entry { path: "etc/", content: None, mode: 0o755, ..file }, file]);
        assert!(too_long.is_empty());
        assert_eq!(bytes.len() % RECORD, 0);
        assert_eq!((bytes[156], bytes[BLOCK + 156]), (b'5', b'0'));
        assert_eq!(&bytes[BLOCK + 124..BLOCK + 135], b"00000000005");
        assert_eq!(&bytes[2 * BLOCK..2 * BLOCK + 5], b"hello");
        let sum: u32 = (0..BLOCK)
            .map(|at| if (148..156).contains(&at) { u32::from(b' ') } else { u32::from(bytes[BLOCK + at]) })
            .sum();
        assert_eq!(&bytes[BLOCK + 148..BLOCK + 154], format!("{sum:06o}").as_bytes());
    }
}
