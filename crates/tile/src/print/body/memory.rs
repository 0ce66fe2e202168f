//! Loads, stores and staged copies.

use crate::ir::{Elem, Kind, Memory, Reg, Stmt};

use super::{Body, COMPONENTS};
use crate::print::{
    dialect::type_name,
    text::{Binds, Text},
};

impl Body<'_> {
    /// Address of an element.
    pub(super) fn address(&self, memory: Memory, index: Reg) -> Text {
        let name = Text::atom(self.memories.name(memory));
        match self.text(index) {
            index if index.text == "0u" => name,
            index => Text::infix(&name, "+", index, Binds::Sum),
        }
    }

    fn element(&self, memory: Memory, index: Reg) -> Text {
        Text::atom(format!("{}[{}]", self.memories.name(memory), self.text(index).text))
    }

    pub(super) fn load(&mut self, stmt: &Stmt, to: &[Reg], memory: Memory, index: Reg) {
        let elem = self.program.elem(memory);
        if let [to] = to {
            let text = self.dialect.widen_one(elem, self.element(memory, index));
            return self.make(stmt, *to, text);
        }
        let wide = self.dialect.wide(elem, to.len());
        let address = self.address(memory, index);
        let raw = self.dialect.wide_at(memory, &wide, true, &address);
        let base = self.memories.name(memory).to_string();
        if to.len() < 8 {
            return self.vector(stmt, to, elem, &base, &raw);
        }
        let whole = self.names.unique(&format!("{base}_bits"));
        self.begin(stmt, format!("const {wide} {whole} = {raw};"));
        for (part, upper) in to.chunks(4).zip([false, true]) {
            if part.iter().any(|&reg| self.places.used(reg)) {
                let raw = self.dialect.half_of(elem, &whole, upper);
                self.vector(stmt, part, elem, &base, &raw);
            }
        }
    }

    /// Up to four neighbours, in a vector.
    fn vector(&mut self, stmt: &Stmt, to: &[Reg], elem: Elem, base: &str, raw: &str) {
        let name = self.names.unique(&format!("{base}_v"));
        let value = self.dialect.widen(elem, to.len(), raw);
        let ty = type_name(elem.value());
        self.begin(stmt, format!("const {ty}{} {name} = {value};", to.len()));
        for (&reg, component) in to.iter().zip(COMPONENTS) {
            self.texts[reg.index()] = Some(Text::atom(format!("{name}.{component}")));
        }
    }

    pub(super) fn store(&mut self, stmt: &Stmt, from: &[Reg], memory: Memory, index: Reg) {
        let elem = self.program.elem(memory);
        let values: Vec<&Text> = from.iter().map(|&reg| self.text(reg)).collect();
        if let [value] = values[..] {
            let value = self.dialect.narrow_one(elem, value).text;
            let element = self.element(memory, index).text;
            return self.begin(stmt, format!("{element} = {value};"));
        }
        let value = match &values[..] {
            [lower @ .., _, _, _, _] if lower.len() == 4 => {
                let [lower, upper] =
                    [&values[..4], &values[4..]].map(|four| self.dialect.narrow(elem, four));
                self.dialect.join(elem, &lower, &upper)
            }
            few => self.dialect.narrow(elem, few),
        };
        let wide = self.dialect.wide(elem, from.len());
        let address = self.address(memory, index);
        let place = self.dialect.wide_at(memory, &wide, false, &address);
        self.begin(stmt, format!("{place} = {value};"));
    }

    pub(super) fn stage(&mut self, stmt: &Stmt) {
        let &Kind::Stage { to, at, from, index, count, inside } = &stmt.kind else { return };
        let bytes = count as usize * self.program.elem(to).bytes();
        let (to, from) = (self.address(to, at), self.address(from, index));
        let mut parts = vec![&to, &from];
        parts.extend(inside.map(|inside| self.text(inside)));
        let text = Text::call(&format!("stage_{bytes}"), &parts).text;
        self.begin(stmt, format!("{text};"));
    }
}
