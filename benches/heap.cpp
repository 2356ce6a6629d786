// Twenty million allocations of malloc: nine classes, a std::list, blocks without a type; every fiftieth allocation is leaked.
// heap COUNT: makes them, aborts.
#include <cstdio>
#include <cstdlib>
#include <list>

namespace shop {
struct Base {
    virtual ~Base() {}
    Base *next = nullptr;
};
#define CLASS(name, bytes) struct name : Base { char rest[bytes]; };
CLASS(Order, 24) CLASS(Item, 8) CLASS(Customer, 40) CLASS(Address, 56) CLASS(Basket, 16) CLASS(Price, 8) CLASS(Session, 72) CLASS(Log, 104)
CLASS(Lost, 24)
}

template <class T> shop::Base *chain(long count) {
    shop::Base *head = nullptr;
    for (long at = 0; at < count; at++) {
        auto *made = new T;
        made->next = head;
        head = made;
    }
    return head;
}

shop::Base *g_chains[8];
std::list<int> g_list;
char *g_last;

int main(int, char **arguments) {
    long count = atol(arguments[1]);
    g_chains[0] = chain<shop::Order>(count / 4);
    g_chains[1] = chain<shop::Item>(count / 4);
    g_chains[2] = chain<shop::Customer>(count / 20);
    g_chains[3] = chain<shop::Address>(count / 20);
    g_chains[4] = chain<shop::Basket>(count / 20);
    g_chains[5] = chain<shop::Price>(count / 10);
    g_chains[6] = chain<shop::Session>(count / 100);
    g_chains[7] = chain<shop::Log>(count / 100);
    chain<shop::Lost>(count / 50);
    for (long at = 0; at < count / 10; at++) g_list.push_back(at);
    for (long at = 0; at < count * 11 / 100; at++) {
        char *block = static_cast<char *>(malloc(40 + at % 64));
        if (at % 4 == 0) {
            free(block);
        } else {
            *reinterpret_cast<char **>(block) = g_last;
            g_last = block;
        }
    }
    abort();
}
