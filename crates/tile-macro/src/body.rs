//! The body of a kernel: what is replaced, and what is refused.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    BinOp, Block, Error, Expr, ExprBinary, ExprForLoop, ExprIf, ExprRange, Ident, Item, Local,
    Macro, Pat, PatIdent, RangeLimits, Result, Stmt, parse_quote_spanned,
    spanned::Spanned,
    visit_mut::{self, VisitMut},
};

/// Macros whose arguments are plain Rust, evaluated while recording.
const MACROS: [&str; 5] = ["assert", "matches", "panic", "unreachable", "vec"];

/// Rewrites a body. With `unit` its value is `()`, so that an `if` at its end is a statement.
pub fn rewrite(block: &mut Block, unit: bool) -> Result<()> {
    let mut body = Body { errors: Vec::new() };
    body.block(block, unit);
    let mut errors = body.errors.into_iter();
    match errors.next() {
        None => Ok(()),
        Some(mut first) => {
            errors.for_each(|error| first.combine(error));
            Err(first)
        }
    }
}

struct Body {
    errors: Vec<Error>,
}

impl Body {
    fn refuse(&mut self, what: impl ToTokens, message: &str) {
        self.errors.push(Error::new_spanned(what, message));
    }

    /// The statements of a block.
    fn block(&mut self, block: &mut Block, unit: bool) {
        let last = block.stmts.len().saturating_sub(1);
        let mut stmts = Vec::with_capacity(block.stmts.len());
        for (i, stmt) in std::mem::take(&mut block.stmts).into_iter().enumerate() {
            self.statement(stmt, unit || i < last, &mut stmts);
        }
        block.stmts = stmts;
    }

    /// One statement; `discarded` tells that its value is `()` or nobody's.
    fn statement(&mut self, mut stmt: Stmt, discarded: bool, out: &mut Vec<Stmt>) {
        match &mut stmt {
            Stmt::Local(local) => {
                let named = self.local(local);
                out.push(stmt);
                out.extend(named);
                return;
            }
            Stmt::Expr(Expr::If(branch), semicolon) if discarded || semicolon.is_some() => {
                let tokens = self.branch(branch);
                out.push(Stmt::Expr(Expr::Verbatim(tokens), None));
                return;
            }
            Stmt::Expr(expr, _) => self.visit_expr_mut(expr),
            Stmt::Macro(invocation) => self.invocation(&invocation.mac),
            Stmt::Item(Item::Const(_) | Item::Use(_)) => {}
            Stmt::Item(item) => self.refuse(item, "a kernel holds no items but constants"),
        }
        out.push(stmt);
    }

    /// `let`; gives the statement that notes the name.
    fn local(&mut self, local: &mut Local) -> Option<Stmt> {
        let Some(init) = &mut local.init else {
            self.refuse(&*local, "a kernel's `let` has a value");
            return None;
        };
        if let Some((_, diverge)) = &init.diverge {
            self.errors.push(Error::new_spanned(diverge, "`let else` has no meaning in a kernel"));
        }
        self.visit_expr_mut(&mut init.expr);
        let (pattern, ty) = match &mut local.pat {
            Pat::Type(typed) => (&mut *typed.pat, Some(typed.ty.clone())),
            pattern => (pattern, None),
        };
        let Pat::Ident(PatIdent { ident, mutability, by_ref: None, subpat: None, .. }) = pattern
        else {
            let mut mutable = MutableBindings(Vec::new());
            mutable.visit_pat_mut(pattern);
            for span in mutable.0 {
                let message = "a variable of a kernel is declared by itself, `let mut name = ...`";
                self.errors.push(Error::new(span, message));
            }
            return None;
        };
        if mutability.take().is_none() {
            return Some(named(ident));
        }
        let value = &init.expr;
        let value = match ty {
            Some(ty) => quote!({ let value: #ty = #value; value }),
            None => quote!(#value),
        };
        let span = init.expr.span();
        init.expr = parse_quote_spanned! { span =>
            ::tessera_tile::flow::Mutable::variable(#value, stringify!(#ident))
        };
        local.pat = parse_quote_spanned!(ident.span() => #ident);
        None
    }

    /// `if` as a statement.
    fn branch(&mut self, branch: &mut ExprIf) -> TokenStream {
        let pattern = has_let(&branch.cond);
        self.visit_expr_mut(&mut branch.cond);
        self.block(&mut branch.then_branch, true);
        let otherwise = branch.else_branch.as_mut().map(|(_, otherwise)| match &mut **otherwise {
            Expr::If(nested) => self.branch(nested),
            Expr::Block(block) => {
                self.block(&mut block.block, true);
                block.to_token_stream()
            }
            other => {
                self.visit_expr_mut(other);
                other.to_token_stream()
            }
        });
        let (condition, then) = (&branch.cond, &branch.then_branch);
        if pattern {
            // decided while recording, by the shape of a Rust value
            let otherwise = otherwise.map(|otherwise| quote!(else { #otherwise }));
            return quote!(if #condition #then #otherwise);
        }
        let begin = quote_spanned! { condition.span() =>
            ::tessera_tile::flow::Condition::begin(#condition)
        };
        quote! {
            {
                let mut branch = #begin;
                if branch.then() #then
                if branch.otherwise() { #otherwise }
                branch.end();
            }
        }
    }

    /// `for`.
    fn each(&mut self, each: &mut ExprForLoop) {
        if let Some(label) = &each.label {
            self.errors.push(Error::new_spanned(label, "loops of a kernel have no labels"));
        }
        if let Some((range, step)) = stepped(&mut each.expr) {
            let (from, to) = (range.start.clone(), range.end.clone());
            match (from, to, range.limits) {
                (Some(mut from), Some(mut to), RangeLimits::HalfOpen(_)) => {
                    let span = each.expr.span();
                    self.visit_expr_mut(&mut from);
                    self.visit_expr_mut(&mut to);
                    let step = match step {
                        Some(mut step) => {
                            self.visit_expr_mut(&mut step);
                            step.to_token_stream()
                        }
                        None => quote!(::tessera_tile::flow::One),
                    };
                    *each.expr = Expr::Verbatim(quote_spanned! { span =>
                        ::tessera_tile::flow::Bounds::each(#from, #to, #step)
                    });
                }
                _ => self.errors.push(Error::new(
                    each.expr.span(),
                    "loops of a kernel run over `a..b` or `(a..b).step_by(c)`",
                )),
            }
        } else {
            self.visit_expr_mut(&mut each.expr);
        }
        self.block(&mut each.body, true);
        if let Pat::Ident(PatIdent {
            ident, mutability: None, by_ref: None, subpat: None, ..
        }) = &*each.pat
        {
            each.body.stmts.insert(0, named(ident));
        }
    }

    /// An operator that Rust does not let a type define as a kernel needs it.
    fn operator(&mut self, expr: &ExprBinary) -> Option<TokenStream> {
        let ExprBinary { left, op, right, .. } = expr;
        let compare = match op {
            BinOp::Lt(_) => "lt",
            BinOp::Le(_) => "le",
            BinOp::Gt(_) => "gt",
            BinOp::Ge(_) => "ge",
            BinOp::Eq(_) => "eq",
            BinOp::Ne(_) => "ne",
            _ => "",
        };
        let span = op.span();
        if !compare.is_empty() {
            let method = Ident::new(compare, span);
            return Some(quote_spanned! { span =>
                ::tessera_tile::flow::Compare::#method(#left, #right)
            });
        }
        let symbol = match op {
            BinOp::AddAssign(_) => quote!(+),
            BinOp::SubAssign(_) => quote!(-),
            BinOp::MulAssign(_) => quote!(*),
            BinOp::DivAssign(_) => quote!(/),
            BinOp::RemAssign(_) => quote!(%),
            BinOp::BitAndAssign(_) => quote!(&),
            BinOp::BitOrAssign(_) => quote!(|),
            BinOp::BitXorAssign(_) => quote!(^),
            BinOp::ShlAssign(_) => quote!(<<),
            BinOp::ShrAssign(_) => quote!(>>),
            BinOp::And(_) | BinOp::Or(_) => {
                let message = "a kernel computes both sides: write `&` or `|`";
                self.errors.push(Error::new_spanned(op, message));
                return None;
            }
            _ => return None,
        };
        Some(quote_spanned! { span =>
            ::tessera_tile::flow::Assign::assign(&#left, #left #symbol (#right))
        })
    }

    fn invocation(&mut self, invocation: &Macro) {
        let known = |name: &&str| invocation.path.is_ident(name);
        if !MACROS.iter().any(known) {
            self.refuse(invocation, "a kernel does not see into macros; only assert! and matches!");
        }
    }
}

impl VisitMut for Body {
    fn visit_block_mut(&mut self, block: &mut Block) {
        self.block(block, false);
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        let refused = match expr {
            Expr::While(_) | Expr::Loop(_) => "loops of a kernel are `for`, so that they end",
            Expr::Break(_) | Expr::Continue(_) | Expr::Return(_) => {
                "threads leave a block at its end; use `if`"
            }
            Expr::Try(_) => "`?` has no meaning on a device",
            Expr::Async(_) | Expr::Await(_) | Expr::Yield(_) => "a kernel does not wait",
            Expr::Unsafe(_) => "nothing in a kernel needs `unsafe`",
            Expr::Reference(reference) if reference.mutability.is_some() => {
                "a kernel's variables are changed by assignment only"
            }
            _ => "",
        };
        if !refused.is_empty() {
            self.refuse(&*expr, refused);
            return;
        }
        match expr {
            Expr::ForLoop(each) => self.each(each),
            Expr::If(branch) => {
                // A value: Rust's own `if`, so that a kernel's condition is a type error here.
                visit_mut::visit_expr_if_mut(self, branch);
            }
            Expr::Assign(assign) => {
                self.visit_expr_mut(&mut assign.left);
                self.visit_expr_mut(&mut assign.right);
                let (left, right) = (&assign.left, &assign.right);
                let span = assign.eq_token.span();
                *expr = Expr::Verbatim(quote_spanned! { span =>
                    ::tessera_tile::flow::Assign::assign(&#left, #right)
                });
            }
            Expr::Binary(binary) => {
                self.visit_expr_mut(&mut binary.left);
                self.visit_expr_mut(&mut binary.right);
                if let Some(tokens) = self.operator(binary) {
                    *expr = Expr::Verbatim(tokens);
                }
            }
            Expr::Macro(invocation) => self.invocation(&invocation.mac),
            _ => visit_mut::visit_expr_mut(self, expr),
        }
    }
}

/// The statement that notes the name of a value, if it is a kernel's.
fn named(ident: &Ident) -> Stmt {
    parse_quote_spanned! { ident.span() =>
        {
            #[allow(unused_imports)]
            use ::tessera_tile::flow::{NamedOther as _, NamedValue as _};
            (&::tessera_tile::flow::Named(&#ident)).name(stringify!(#ident));
        }
    }
}

/// Whether a condition matches a pattern.
fn has_let(condition: &Expr) -> bool {
    match condition {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// `a..b` or `(a..b).step_by(c)`.
fn stepped(expr: &mut Expr) -> Option<(&ExprRange, Option<Expr>)> {
    match expr {
        Expr::Range(range) => Some((range, None)),
        Expr::MethodCall(call) if call.method == "step_by" && call.args.len() == 1 => {
            let step = call.args.first().cloned();
            let mut inner = &*call.receiver;
            while let Expr::Paren(paren) = inner {
                inner = &paren.expr;
            }
            match inner {
                Expr::Range(range) => Some((range, step)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Finds `mut` within a pattern.
struct MutableBindings(Vec<Span>);

impl VisitMut for MutableBindings {
    fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
        self.0.extend(pattern.mutability.map(|token| token.span));
    }
}
