// Names of every kind that a C++ program gives its functions and data.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

int g_orders[4] = {1, 2, 3, 4};
static int s_local = 7;

extern "C" __attribute__((noinline)) int plain_c(int x) { return x + g_orders[x & 3]; }

namespace {
__attribute__((noinline)) int hidden(int x) { return plain_c(x) + s_local; }
inline __attribute__((always_inline)) int hidden_inline(int x) { return hidden(x) + 1; }
}  // namespace

static __attribute__((noinline)) int file_static(int x) { return hidden_inline(x) * 2; }

namespace shop {
template <class T>
struct Pool {
    std::vector<T> items;
    __attribute__((noinline)) T run(T x) {
        items.push_back(x);
        return helper(x);
    }
    inline __attribute__((always_inline)) T helper(T x) { return file_static(x) + static_cast<T>(items.size()); }
    static inline int count = 3;
};

struct Order {
    int id;
    __attribute__((noinline)) explicit Order(int i) : id(i) { std::printf("order %d\n", i); }
    __attribute__((noinline)) bool operator<(const Order& o) const { return id < o.id; }
    __attribute__((noinline)) operator bool() const { return id != 0; }
};
}  // namespace shop

template <class F>
__attribute__((noinline)) int apply(F f, int x) { return f(x); }

int main(int argc, char**) {
    shop::Pool<int> pool;
    int sum = pool.run(argc);
    sum += apply([&](int x) { return pool.run(x) + 1; }, argc);
    shop::Order a(argc), b(argc + 1);
    if (a < b && a) sum += shop::Pool<int>::count;
    std::printf("%d %s\n", sum, std::string("done").c_str());
    return 0;
}
