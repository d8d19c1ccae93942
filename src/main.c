/* Sluice, an application gateway. Everything is in the library; see core/cli.h.
 * SPDX-License-Identifier: MIT */
#include "admin/admin.h"
#include "core/cli.h"

int main(int argc, char **argv)
{
    const struct cli_parts parts = {.commands = admin_commands, .service = &admin_service};
    return cli_main(argc, argv, &parts);
}
