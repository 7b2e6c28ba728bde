//! Links the image by the workspace's one link script.

fn main() {
    // Relative to the package here, and to the workspace there, where cargo starts the linker: a copy
    // of the tree that shares this one's builds has a script of its own.
    println!("cargo::rerun-if-changed=../linker.ld");
    println!("cargo::rustc-link-arg-bins=-Tlinker.ld");
}
