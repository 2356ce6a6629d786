// A little of everything that debug information describes, without a library.
struct Node {
    struct Node* next;
    int values[4];
    union {
        long number;
        void* pointer;
    };
    unsigned flag : 3;
};

enum color { red, green = 5 };

static struct Node s_nodes[3];
struct Node* g_first = &s_nodes[0];
enum color g_color = green;

static inline __attribute__((always_inline)) int twice(int x) { return x * 2 + s_nodes[x & 1].values[0]; }

__attribute__((noinline)) static int helper(int (*f)(int), int x) {
    for (int i = 0; i < x; i++) {
        int block = f(i) + twice(i);
        s_nodes[block & 1].values[i & 3] = block;
    }
    return twice(x);
}

int callback(int x) { return x ^ 3; }

int small_main(int count, const char** names) {
    int local = helper(callback, count);
    return local + (names != 0);
}
