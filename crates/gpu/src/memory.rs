//! The buffers of a model.

use tessera_graph::BackendError;

use crate::{
    device::{Bound, Device, DeviceError},
    held::Held,
    state::States,
    stream::{BufferId, Range},
};

/// A buffer with its size. It grows when a step needs more, which warm steps do not.
#[derive(Debug)]
pub struct Growing<D: Device> {
    buffer: D::Buffer,
    bytes: usize,
    what: &'static str,
}

impl<D: Device> Growing<D> {
    /// Of at least `bytes`.
    pub fn new(device: &mut D, bytes: usize, what: &'static str) -> Result<Self, DeviceError> {
        let bytes = bytes.max(16).next_multiple_of(16);
        Ok(Self { buffer: device.allocate(bytes, what)?, bytes, what })
    }

    /// Makes room for `bytes`; what was in it may be lost. Tells whether it is another buffer now.
    pub fn reserve(&mut self, device: &mut D, bytes: usize) -> Result<bool, DeviceError> {
        let grows = bytes > self.bytes;
        if grows {
            *self = Self::new(device, bytes.next_power_of_two(), self.what)?;
        }
        Ok(grows)
    }

    /// The buffer, to fill it.
    pub fn get_mut(&mut self) -> &mut D::Buffer {
        &mut self.buffer
    }

    /// The buffer.
    pub fn get(&self) -> &D::Buffer {
        &self.buffer
    }
}

/// All of a model's buffers but those that are staged.
pub struct Buffers<D: Device> {
    /// Intermediates.
    pub arena: Growing<D>,
    /// What a step tells its kernels.
    pub tables: Growing<D>,
    /// How outputs are drawn.
    pub draws: Growing<D>,
    /// Biases of tokens, tokens that have occurred, masks.
    pub side: [Growing<D>; 3],
    /// What is read back.
    pub results: Growing<D>,
    /// Weights.
    pub weights: Held<D>,
    /// Pages and slots.
    pub states: States<D>,
}

impl<D: Device> Buffers<D> {
    /// A part of a buffer.
    pub fn bind(&self, range: &Range) -> Result<Bound<'_, D::Buffer>, BackendError> {
        let sized = match range.buffer {
            BufferId::Arena => &self.arena,
            BufferId::Tables => &self.tables,
            BufferId::Draws => &self.draws,
            BufferId::Biases => &self.side[0],
            BufferId::History => &self.side[1],
            BufferId::Masks => &self.side[2],
            BufferId::Results => &self.results,
            BufferId::Weight(i) => {
                return Ok(self.weights.bind(i, range.offset, range.bytes));
            }
            BufferId::State(i) => {
                let missing = || BackendError::Batch(format!("state {i} has no pages or slots"));
                let buffer = self.states.buffer(i).ok_or_else(missing)?;
                let bytes = self.states.buffer_bytes(i);
                return Ok(Bound { buffer, offset: 0, bytes });
            }
        };
        let bytes = if range.bytes == Range::ALL { sized.bytes } else { range.bytes };
        Ok(Bound { buffer: &sized.buffer, offset: range.offset, bytes })
    }
}
