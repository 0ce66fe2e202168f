//! Weights as a device holds them: what was copied to it, and what it reads where it lies.

use tessera_graph::{BackendError, Graph, Progress, Weights};

use crate::{
    adopt::{self, Lying},
    ahead,
    device::{Bound, Device},
    weights::{self, Plan},
};

/// Where bytes of a planned buffer are.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Their first byte in the planned buffer.
    start: usize,
    /// The device's buffer.
    buffer: usize,
    /// Their first byte in it.
    offset: usize,
    /// Whether they are a file's.
    mapped: bool,
}

/// A model's weights.
pub struct Held<D: Device> {
    buffers: Vec<D::Buffer>,
    /// For each planned buffer, its planes in order.
    places: Vec<Vec<Place>>,
    copied: usize,
    mapped: usize,
}

/// Bytes that are to be allocated for a plan, and bytes of it that stay in files.
pub fn bytes(plan: &Plan, bound: &Weights, adopts: bool) -> (usize, usize) {
    let mut all = (0, 0);
    for (i, (source, _)) in plan.buffers.iter().enumerate() {
        let lying = if adopts { adopt::lying(source, bound) } else { Vec::new() };
        for (plane, (_, bytes)) in plan.planes(bound, i).into_iter().enumerate() {
            match lying.get(plane) {
                Some(Some(lying)) => all.1 += lying.range.len(),
                _ => all.0 += bytes,
            }
        }
    }
    all
}

impl<D: Device> Held<D> {
    /// Lays a plan's weights out, but for what the device adopts.
    pub fn new(
        plan: &Plan,
        graph: &Graph,
        bound: &Weights,
        device: &mut D,
        progress: &mut Progress<'_>,
    ) -> Result<Self, BackendError> {
        let mut held = Self { buffers: Vec::new(), places: Vec::new(), copied: 0, mapped: 0 };
        let adopted = match D::ADOPTS {
            true => held.adopt(plan, bound, device),
            false => vec![Vec::new(); plan.buffers.len()],
        };
        for (i, adopted) in adopted.iter().enumerate() {
            held.place(plan, i, adopted, bound, device)?;
        }
        held.fill(plan, graph, bound, device, progress)?;
        let Self { copied, mapped, .. } = held;
        tracing::info!(copied, mapped, buffers = held.buffers.len(), "weights, in bytes");
        Ok(held)
    }

    /// Makes what lies in files buffers, where the device takes it: of each plane its buffer, and where it begins there.
    fn adopt(
        &mut self,
        plan: &Plan,
        bound: &Weights,
        device: &mut D,
    ) -> Vec<Vec<Option<(usize, usize)>>> {
        let lying = |source| adopt::lying(source, bound);
        let planes: Vec<Vec<Option<Lying>>> =
            plan.buffers.iter().map(|(source, _)| lying(source)).collect();
        let mut adopted: Vec<_> = planes.iter().map(|planes| vec![None; planes.len()]).collect();
        for stretch in adopt::stretches(&planes, device.longest()) {
            let Lying { map, range } = stretch.lying;
            let Some((buffer, first)) = device.adopt(&map, range.clone()) else { continue };
            for (source, plane) in stretch.planes {
                if let Some(lying) = &planes[source][plane] {
                    let offset = first + lying.range.start - range.start;
                    adopted[source][plane] = Some((self.buffers.len(), offset));
                    self.mapped += lying.range.len();
                }
            }
            self.buffers.push(buffer);
        }
        adopted
    }

    /// Makes room for what of planned buffer `i` is not `adopted`.
    fn place(
        &mut self,
        plan: &Plan,
        i: usize,
        adopted: &[Option<(usize, usize)>],
        bound: &Weights,
        device: &mut D,
    ) -> Result<(), BackendError> {
        let (mut places, mut own) = (Vec::new(), 0);
        for (plane, (start, bytes)) in plan.planes(bound, i).into_iter().enumerate() {
            places.push(match adopted.get(plane) {
                Some(&Some((buffer, offset))) => Place { start, buffer, offset, mapped: true },
                _ => {
                    own += bytes;
                    Place { start, buffer: self.buffers.len(), offset: own - bytes, mapped: false }
                }
            });
        }
        if !places.iter().all(|place| place.mapped) {
            self.buffers.push(device.allocate(own, "weights")?);
            self.copied += own;
        }
        self.places.push(places);
        Ok(())
    }

    /// Lays all out; of what stays where it lies it is only checked that numbers are finite.
    fn fill(
        &mut self,
        plan: &Plan,
        graph: &Graph,
        bound: &Weights,
        device: &mut D,
        progress: &mut Progress<'_>,
    ) -> Result<(), BackendError> {
        let (places, buffers) = (&self.places, &mut self.buffers);
        let fill = |i: usize, write: &mut weights::Write<'_>| {
            let (source, _) = &plan.buffers[i];
            match places[i].iter().all(|place| place.mapped) {
                true => weights::check(source, graph, bound),
                false => weights::fill(source, graph, bound, write),
            }
        };
        let (mut done, total) = (0, plan.bytes());
        ahead::fill_all(plan.buffers.len(), &fill, &mut |i, piece| match piece {
            Some((at, bytes)) => match place(&places[i], at) {
                Place { mapped: true, .. } => Ok(()),
                Place { start, buffer, offset, .. } => {
                    Ok(device.write(&mut buffers[buffer], offset + at - start, bytes)?)
                }
            },
            None => {
                done += plan.buffers[i].1;
                match progress(done, total).is_break() {
                    true => Err(BackendError::Cancelled),
                    false => Ok(()),
                }
            }
        })
    }

    /// `bytes` from `offset` of planned buffer `i`, which lie in one plane.
    pub fn bind(&self, i: usize, offset: usize, bytes: usize) -> Bound<'_, D::Buffer> {
        let place = place(&self.places[i], offset);
        let offset = place.offset + offset - place.start;
        Bound { buffer: &self.buffers[place.buffer], offset, bytes }
    }

    /// Bytes that were allocated.
    pub fn copied(&self) -> usize {
        self.copied
    }

    /// Bytes that are read where they lie in mapped files.
    pub fn mapped(&self) -> usize {
        self.mapped
    }
}

/// The place of the byte `at` of a planned buffer.
fn place(places: &[Place], at: usize) -> Place {
    places[places.partition_point(|place| place.start <= at) - 1]
}
