/* Made by make_training.py with PyTorch 1.13.0a0: its docstring explains the fields. Included once, by
 * test_training_parity.c, which declares struct golden. */
/* clang-format off */
static const struct golden goldens[3] = {
    {
        "dwpw",
        "conv stem 8 3x3 /2 pad 1 nobias\n"
        "bn\n"
        "relu\n"
        "dwpw block1 16 /2\n"
        "dwpw block2 24\n"
        "dwpw block3 40 /2\n"
        "gap\n"
        "fc classifier classes\n",
        111, 1, 1, true,
        /* PyTorch's own float32: losses within 1.5e-07, tensors within 4.5e-07 of their norm */
        {2.345306074, 2.221198744, 2.3543194, 2.247053014, 2.302526635, 2.196666912, 2.330111356, 2.227546013, 2.28106283, 2.179153432, 2.308657516, 2.20962785, 2.264760071, 2.165598366, 2.289606196, 2.193687827, 2.251179829, 2.153898497, 2.272176767, 2.179144607},
        {0.7133491269, 0.6404018377, 0.6633404609, 0.6494314735, 0.6778444222, 0.6152082166, 0.6422161229, 0.6237725699, 0.6621713761, 0.597825749, 0.6373886409, 0.6014003996, 0.6524035843, 0.6025125849, 0.6162713619, 0.5908881132, 0.6418026888, 0.6051589163, 0.6011902127, 0.5900147638},
        37,
        {
            {"stem.weight", 216, -2.566776596, 1.643025899},
            {"stem_bn.weight", 8, 7.341549105, 2.61086126},
            {"stem_bn.bias", 8, 0.09340827306, 0.1969949388},
            {"stem_bn.running_mean", 8, 0.01179706115, 0.006231565642},
            {"stem_bn.running_var", 8, 1.732013857, 0.6149760275},
            {"block1.dw.weight", 72, 0.08778366377, 1.538489632},
            {"block1.dw_bn.weight", 8, 8.069169178, 2.888554059},
            {"block1.dw_bn.bias", 8, 0.06254334499, 0.182289431},
            {"block1.dw_bn.running_mean", 8, 0.1825470533, 0.4480195558},
            {"block1.dw_bn.running_var", 8, 1.537252801, 0.5507714471},
            {"block1.pw.weight", 128, 3.971565357, 2.340459283},
            {"block1.pw_bn.weight", 16, 15.65321134, 3.961612201},
            {"block1.pw_bn.bias", 16, -0.01524280997, 0.2603551351},
            {"block1.pw_bn.running_mean", 16, 1.274017492, 0.8652284766},
            {"block1.pw_bn.running_var", 16, 3.719928469, 0.9362113041},
            {"block2.dw.weight", 144, -0.2043282114, 2.311213572},
            {"block2.dw_bn.weight", 16, 15.74201262, 3.963013847},
            {"block2.dw_bn.bias", 16, -0.1041900315, 0.2344296162},
            {"block2.dw_bn.running_mean", 16, 0.2031029508, 0.7041347298},
            {"block2.dw_bn.running_var", 16, 3.40525098, 0.8659417164},
            {"block2.pw.weight", 384, -0.5970209106, 2.836239094},
            {"block2.pw_bn.weight", 24, 23.69904359, 4.882878436},
            {"block2.pw_bn.bias", 24, 0.3193963985, 0.2876105517},
            {"block2.pw_bn.running_mean", 24, -0.4188457326, 1.101411757},
            {"block2.pw_bn.running_var", 24, 5.251909553, 1.07843066},
            {"block3.dw.weight", 216, -0.5360148563, 2.884756395},
            {"block3.dw_bn.weight", 24, 24.01194255, 4.957837137},
            {"block3.dw_bn.bias", 24, 0.0303057477, 0.2591822006},
            {"block3.dw_bn.running_mean", 24, -0.1102673094, 0.9017582175},
            {"block3.dw_bn.running_var", 24, 5.381604433, 1.133722487},
            {"block3.pw.weight", 960, -2.775123013, 3.664579147},
            {"block3.pw_bn.weight", 40, 40.73202971, 6.491937831},
            {"block3.pw_bn.bias", 40, -0.0573372989, 0.382932649},
            {"block3.pw_bn.running_mean", 40, -0.8770907674, 1.164487614},
            {"block3.pw_bn.running_var", 40, 9.300893437, 1.480049109},
            {"classifier.weight", 400, -1.558391234, 1.738339981},
            {"classifier.bias", 10, 0.1777553817, 0.2141675078},
        },
    },
    {
        "lightnn",
        "conv features.0 16 3x3 pad 1\n"
        "relu\n"
        "maxpool 2\n"
        "conv features.3 16 3x3 pad 1\n"
        "relu\n"
        "maxpool 2\n"
        "flatten\n"
        "fc classifier.0 256\n"
        "relu\n"
        "dropout 0\n"
        "fc classifier.3 classes\n",
        108, 12, 64, false,
        /* PyTorch's own float32: losses within 4.7e-07, tensors within 5.0e-06 of their norm */
        {2.560782561, 2.429084361, 2.949212499, 2.163732356, 2.134258557, 2.067286431, 2.205065527, 1.977879095, 1.978264531, 1.889265556, 1.986970372, 1.81522213, 1.629939127, 1.429501822, 1.751753329, 1.447713508, 1.107402643, 0.9485234448, 1.293566838, 1.001553909},
        {9.358707603, 8.354308759, 13.24115995, 5.084876926, 4.5364177, 4.417172698, 3.283685233, 3.269014774, 3.398494544, 4.106325091, 3.182624678, 4.041829551, 4.407684389, 4.933300026, 5.797888175, 4.99042155, 4.802524659, 5.267534258, 7.481703288, 5.330752001},
        8,
        {
            {"features.0.weight", 432, -3.448526822, 2.306827061},
            {"features.0.bias", 16, -0.1075293175, 0.2650240932},
            {"features.3.weight", 2304, -2.095094763, 2.343247198},
            {"features.3.bias", 16, 0.1656784136, 0.259825355},
            {"classifier.0.weight", 262144, -286.2602378, 8.699395196},
            {"classifier.0.bias", 256, -0.02424550176, 0.9342038339},
            {"classifier.3.weight", 2560, 0.05906465589, 1.836294505},
            {"classifier.3.bias", 10, 0.3591606529, 0.206116339},
        },
    },
    {
        "residual",
        "conv stem 12 3x3 /2 pad 1 nobias\n"
        "bn\n"
        "relu as stem_relu\n"
        "conv block1.conv1 12 3x3 pad 1 nobias\n"
        "bn as block1.bn1\n"
        "relu\n"
        "conv block1.conv2 12 3x3 pad 1 nobias\n"
        "bn as block1.bn2\n"
        "add stem_relu\n"
        "relu as block1\n"
        "conv block2.conv1 20 3x3 /2 pad 1 nobias\n"
        "bn as block2.bn1\n"
        "relu\n"
        "conv block2.conv2 20 3x3 pad 1 nobias\n"
        "bn as block2.bn2\n"
        "from block1\n"
        "conv block2.downsample.0 20 1x1 /2 nobias\n"
        "bn as block2.downsample.1\n"
        "add block2.bn2\n"
        "relu\n"
        "gap\n"
        "fc classifier classes\n",
        122, 1, 1, false,
        /* PyTorch's own float32: losses within 9.5e-08, tensors within 5.2e-07 of their norm */
        {2.379345084, 2.172714392, 2.363806828, 2.355889621, 2.288852178, 2.109418829, 2.308267678, 2.293715862, 2.240593781, 2.061431694, 2.25900538, 2.23368835, 2.200647346, 2.01891995, 2.213761509, 2.176015879, 2.162530803, 1.979206294, 2.170580657, 2.119896925},
        {0.8158918192, 0.9803624846, 0.8109043537, 0.9810202488, 0.769358914, 0.9547411812, 0.7820727576, 0.9561262076, 0.7552082716, 0.9395687258, 0.769585249, 0.9317783498, 0.7670563337, 0.9351073543, 0.7674610168, 0.9289105018, 0.7734318605, 0.9405983677, 0.7792072575, 0.9284100911},
        32,
        {
            {"stem.weight", 324, 0.3451578303, 2.081687801},
            {"stem_bn.weight", 12, 12.49482317, 3.6352721},
            {"stem_bn.bias", 12, 0.1102643765, 0.2163491849},
            {"stem_bn.running_mean", 12, 0.005421871541, 0.01123769691},
            {"stem_bn.running_var", 12, 2.677286112, 0.7736310524},
            {"block1.conv1.weight", 1296, -0.9476377699, 2.046303612},
            {"block1.bn1.weight", 12, 13.05432167, 3.78544389},
            {"block1.bn1.bias", 12, -0.02190547728, 0.1926816333},
            {"block1.bn1.running_mean", 12, -0.3591180676, 0.5730148972},
            {"block1.bn1.running_var", 12, 2.746342928, 0.7935600037},
            {"block1.conv2.weight", 1296, -1.223558825, 2.032509084},
            {"block1.bn2.weight", 12, 12.27605395, 3.583570427},
            {"block1.bn2.bias", 12, -0.02653942348, 0.2337242819},
            {"block1.bn2.running_mean", 12, -0.4702729168, 0.7632501227},
            {"block1.bn2.running_var", 12, 2.890506557, 0.8362771326},
            {"block2.conv1.weight", 2160, -0.2629785333, 2.624376904},
            {"block2.bn1.weight", 20, 19.94646163, 4.496891941},
            {"block2.bn1.bias", 20, 0.03998597238, 0.2750253941},
            {"block2.bn1.running_mean", 20, -0.004523944734, 1.368570717},
            {"block2.bn1.running_var", 20, 6.609840759, 1.482663561},
            {"block2.conv2.weight", 3600, -1.520863943, 2.626166836},
            {"block2.bn2.weight", 20, 20.61214348, 4.644302818},
            {"block2.bn2.bias", 20, 0.1933151222, 0.2404374267},
            {"block2.bn2.running_mean", 20, -0.5103798877, 0.9778533631},
            {"block2.bn2.running_var", 20, 4.41419552, 0.9885857804},
            {"block2.downsample.0.weight", 240, 0.4082555498, 2.549815977},
            {"block2.downsample.1.weight", 20, 19.81240346, 4.464159223},
            {"block2.downsample.1.bias", 20, -0.1444560854, 0.2936947154},
            {"block2.downsample.1.running_mean", 20, 0.2304966627, 1.6545403},
            {"block2.downsample.1.running_var", 20, 6.783148387, 1.544717795},
            {"classifier.weight", 200, 1.492499674, 1.787104443},
            {"classifier.bias", 10, -0.1785232152, 0.1869648755},
        },
    },
};
