//! Where an HTTP/1.1 message ends, read by other eyes than the ones under test.

/// The length of the first whole message in `bytes`. `None`: more is to come.
pub(crate) fn whole(bytes: &[u8], has_body: bool) -> Option<usize> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    if !has_body {
        return Some(head);
    }
    if text.contains("\r\ntransfer-encoding: chunked\r\n") {
        return chunks(&bytes[head..]).map(|body| head + body);
    }
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.trim().parse().unwrap());
    (bytes.len() >= head + length).then_some(head + length)
}

/// The length of a chunked body, trailers included.
fn chunks(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        at += line + 2;
        if size == 0 {
            break;
        }
        at += size + 2;
        if at > bytes.len() {
            return None;
        }
    }
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        at += line + 2;
        if line == 0 {
            return Some(at);
        }
    }
}

pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
