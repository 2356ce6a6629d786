//! Statics, an enum with content, and locals of a Rust program.

mod shop {
    use std::sync::Mutex;

    pub static ORDERS: Mutex<u32> = Mutex::new(5);

    pub enum Shape {
        Circle(u32),
        Square { side: u64, name: String },
        Nothing,
    }

    #[inline(never)]
    pub fn area(shape: &Shape) -> u64 {
        match shape {
            Shape::Circle(radius) => u64::from(*radius) * 3,
            Shape::Square { side, name } => side * side + name.len() as u64,
            Shape::Nothing => 0,
        }
    }
}

fn main() {
    let mut orders = shop::ORDERS.lock().unwrap();
    *orders += 1;
    let shapes = [
        shop::Shape::Circle(*orders),
        shop::Shape::Square { side: 4, name: "square".to_string() },
        shop::Shape::Nothing,
    ];
    println!("{}", shapes.iter().map(shop::area).sum::<u64>());
}
