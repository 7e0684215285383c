//! A link's capacity in a line of moves: which part of it becomes free when.

/// Parts of a capacity, each with the time from which it is free, in ascending order of it; together they are the whole.
#[derive(Debug, Clone)]
pub(super) struct Room {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    free_from_ns: u64,
    bit_s: u64,
}

impl Room {
    pub(super) fn new(capacity_bit_s: u64) -> Self {
        Room { parts: vec![Part { free_from_ns: 0, bit_s: capacity_bit_s }] }
    }

    /// Everything free from the beginning.
    pub(super) fn clear(&mut self, capacity_bit_s: u64) {
        self.parts.clear();
        self.parts.push(Part { free_from_ns: 0, bit_s: capacity_bit_s });
    }

    /// The earliest time from which so much is free; the rate is at most the capacity.
    pub(super) fn free_from_ns(&self, rate_bit_s: u64) -> u64 {
        let mut free = 0;
        for part in &self.parts {
            free += part.bit_s;
            if free >= rate_bit_s {
                return part.free_from_ns;
            }
        }
        u64::MAX
    }

    /// Takes so much from `start_ns`, from which it must be free, to `end_ns`: first of what became free last.
    pub(super) fn take(&mut self, rate_bit_s: u64, start_ns: u64, end_ns: u64) {
        let mut missing = rate_bit_s;
        let mut place = self.parts.partition_point(|part| part.free_from_ns <= start_ns);
        while missing > 0 && place > 0 {
            place -= 1;
            let part = &mut self.parts[place];
            let taken = part.bit_s.min(missing);
            part.bit_s -= taken;
            missing -= taken;
            if part.bit_s == 0 {
                self.parts.remove(place);
            }
        }
        let place = self.parts.partition_point(|part| part.free_from_ns < end_ns);
        match self.parts.get_mut(place) {
            Some(part) if part.free_from_ns == end_ns => part.bit_s += rate_bit_s,
            Some(_) | None => self.parts.insert(place, Part { free_from_ns: end_ns, bit_s: rate_bit_s }),
        }
    }
}
