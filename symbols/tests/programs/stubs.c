// Calls into other modules, one of them to a C++ function.
int first(int x);
int second(int x);
void* operator_new(unsigned long size) __asm__("_Znwm");

int caller(int x) {
    return first(x) + second(x) + (operator_new(4) != 0);
}
