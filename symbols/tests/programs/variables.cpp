// Variables whose parts have names, types with layouts, and locals in blocks and inlined calls.
#include <array>
#include <cstdint>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>

struct Node {
    Node* next;
    int value;
};

namespace shop {
struct Base {
    long id = 1;
    std::mutex base_mutex;
};
enum class Color : uint8_t { red = 1, green = 7 };
struct Shard : Base {
    uint32_t small : 3;
    uint32_t wide : 17;
    std::map<int, std::string> items;
    std::shared_mutex mutex_;
    Color color = Color::green;
    union {
        int as_int;
        float as_float;
    };
};
struct Cache {
    const char* name = "cache";
    Shard shards[4];
    std::array<std::mutex, 3> locks;
    std::pair<int, Node> both;
    int grid[2][5];
    Node* (*make)(int, const char*) = nullptr;
};
Cache g_cache;
static Node s_node{nullptr, 3};
}  // namespace shop

namespace {
std::mutex hidden_lock;
}

std::mutex& function_static() {
    static std::mutex once_lock;
    return once_lock;
}

__attribute__((noinline)) int sink(int x) {
    asm volatile("" : "+r"(x) : : "memory");
    return x;
}

static inline __attribute__((always_inline)) int twice(int inner_parameter) {
    int inner_local = sink(inner_parameter) * 2;
    return sink(inner_local) + inner_parameter;
}

__attribute__((noinline)) int work(int first, const Node& second) {
    int outer_local = sink(first) + second.value;
    for (int i = 0; i < first; i++) {
        int block_local = twice(outer_local);
        outer_local += sink(block_local) + i;
    }
    const int known = 42;
    return sink(outer_local) + known;
}

int main(int argc, char**) {
    shop::g_cache.shards[argc].wide = 5;
    std::lock_guard<std::mutex> a(hidden_lock), b(function_static());
    std::printf("%d\n", work(argc, shop::s_node));
    return 0;
}
