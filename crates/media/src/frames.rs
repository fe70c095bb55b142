//! Re-framing: PCM of any packet length in, frames of one length out.

/// Samples that are added at once at most: 10 ms.
pub(crate) const PART: usize = 80;

/// PCM that waits until it fills a frame, with its place on the source's line (in samples at 8 kHz).
#[derive(Clone, Debug)]
pub(crate) struct Frames {
    pcm: Box<[i16]>,
    len: usize,
    /// Where the first waiting sample belongs.
    head: i64,
    /// Where the next sample should belong; `None`: nothing was heard, or something else since.
    tail: Option<i64>,
}

impl Frames {
    /// Room for frames of `length` samples; none for a path that passes everything on.
    pub(crate) fn new(length: usize) -> Self {
        let room = if length > 0 { length + PART } else { 0 };
        Self {
            pcm: vec![0; room].into_boxed_slice(),
            len: 0,
            head: 0,
            tail: None,
        }
    }

    /// Room for frames of `length` samples from now on, where there was none; where the audio ends stays known.
    pub(crate) fn make_room(&mut self, length: usize) {
        if self.pcm.len() < length + PART {
            let tail = self.tail;
            *self = Self::new(length);
            self.tail = tail;
        }
    }

    /// Whether no sample waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Samples that wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where the audio heard so far ends.
    pub(crate) fn tail(&self) -> Option<i64> {
        self.tail
    }

    /// Audio up to `tail` passed by without being re-framed.
    pub(crate) fn passed(&mut self, tail: i64) {
        self.tail = Some(tail);
    }

    /// Forgets what waits and where it was.
    pub(crate) fn clear(&mut self) {
        (self.len, self.tail) = (0, None);
    }

    /// Whether audio for `position` continues what waits.
    pub(crate) fn continues(&self, position: i64) -> bool {
        self.len == 0 || position == self.head + self.len as i64
    }

    /// Adds at most [`PART`] samples; what waits must be fewer samples than a frame.
    pub(crate) fn push(&mut self, position: i64, pcm: &[i16]) {
        if self.len == 0 {
            self.head = position;
        }
        let end = (self.len + pcm.len()).min(self.pcm.len());
        self.pcm[self.len..end].copy_from_slice(&pcm[..end - self.len]);
        self.len = end;
        self.tail = Some(self.head + self.len as i64);
    }

    /// The first frame of `length` samples and where it belongs, if there is a whole one.
    pub(crate) fn first(&self, length: usize) -> Option<(i64, &[i16])> {
        (self.len >= length).then(|| (self.head, &self.pcm[..length]))
    }

    /// Removes `length` samples from the front.
    pub(crate) fn consume(&mut self, length: usize) {
        let length = length.min(self.len);
        self.pcm.copy_within(length..self.len, 0);
        self.len -= length;
        self.head += length as i64;
    }

    /// Makes what waits a whole frame with silence.
    pub(crate) fn pad(&mut self, length: usize) {
        if self.len > 0 && self.len < length {
            self.pcm[self.len..length].fill(0);
            self.len = length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_milliseconds_in_twenty_out() {
        let mut frames = Frames::new(160);
        let pcm: Vec<i16> = (0..2_400).collect();
        let mut out = Vec::new();
        for (n, part) in pcm
            .chunks(240)
            .flat_map(|packet| packet.chunks(PART))
            .enumerate()
        {
            let position = (n * PART) as i64;
            assert!(frames.continues(position));
            frames.push(position, part);
            while let Some((head, frame)) = frames.first(160) {
                assert_eq!(head, out.len() as i64);
                out.extend_from_slice(frame);
                frames.consume(160);
            }
        }
        assert_eq!(out, pcm);
        assert!(frames.is_empty());
    }

    #[test]
    fn the_rest_before_a_pause_is_completed_with_silence() {
        let mut frames = Frames::new(160);
        frames.push(0, &[5; 80]);
        assert!(!frames.continues(8_000));
        frames.pad(160);
        let (_, frame) = frames.first(160).unwrap();
        assert_eq!((frame[79], frame[80]), (5, 0));
    }
}
