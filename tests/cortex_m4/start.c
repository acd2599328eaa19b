/* What a Cortex-M4 does before main: QEMU has loaded all sections. Output goes to the host by semihosting (newlib's
 * rdimon). */
#include <stdlib.h>

extern int main(void);
extern void initialise_monitor_handles(void);
extern char stack_top[];

void reset(void);
void reset(void)
{
    initialise_monitor_handles();
    exit(main());
}

__attribute__((section(".vectors"), used)) static const void *const vectors[2] = {stack_top, (const void *)reset};
