//! A new migration is a new file in a folder, which the compiler does not watch by itself.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
