/* Made by make_training.py with PyTorch 1.13.0a0: its docstring explains the fields. Included once, by
 * test_training_parity.c, which declares struct golden. */
/* clang-format off */
static const struct golden goldens[3] = {
    {
        "dwpw",
        "conv stem 8 3x3 pad 1 nobias\n"
        "bn\n"
        "relu\n"
        "dwpw block1 16 /2\n"
        "dwpw block2 24\n"
        "dwpw block3 40 /2\n"
        "gap\n"
        "fc classifier classes\n",
        106, 1, 1, true,
        /* PyTorch's own float32: losses within 1.7e-07, tensors within 4.0e-07 of their norm */
        {2.331988652, 2.241265318, 2.316709771, 2.167961744, 2.298730939, 2.223950624, 2.299983563, 2.161575413, 2.280466782, 2.211526642, 2.286300001, 2.155511026, 2.266579689, 2.201419939, 2.275195971, 2.150234339, 2.255845224, 2.192879668, 2.265951288, 2.145578582},
        {0.5361987674, 0.4445242034, 0.4314171407, 0.4015980505, 0.5004569561, 0.4262583695, 0.4075987331, 0.4090880881, 0.4801915252, 0.4106424316, 0.3923931825, 0.4081032453, 0.4603896644, 0.4078459832, 0.3705145163, 0.40924152, 0.4523449539, 0.4028676507, 0.3629100862, 0.4089327353},
        37,
        {
            {"stem.weight", 216, 0.3205779429, 1.602144178},
            {"stem_bn.weight", 8, 7.820392001, 2.798845461},
            {"stem_bn.bias", 8, 0.0293087898, 0.1788554085},
            {"stem_bn.running_mean", 8, 0.003556751817, 0.004709523694},
            {"stem_bn.running_var", 8, 1.693927992, 0.5993869097},
            {"block1.dw.weight", 72, -1.053734148, 1.522073658},
            {"block1.dw_bn.weight", 8, 7.977126667, 2.831679583},
            {"block1.dw_bn.bias", 8, 0.07029278615, 0.1946967649},
            {"block1.dw_bn.running_mean", 8, -0.2236901771, 0.3273702024},
            {"block1.dw_bn.running_var", 8, 1.63600783, 0.5878528348},
            {"block1.pw.weight", 128, -1.290200505, 2.410326224},
            {"block1.pw_bn.weight", 16, 16.01008323, 4.044599845},
            {"block1.pw_bn.bias", 16, -0.5518852555, 0.2663977038},
            {"block1.pw_bn.running_mean", 16, -0.2718598405, 0.7787629173},
            {"block1.pw_bn.running_var", 16, 3.526710965, 0.8888674924},
            {"block2.dw.weight", 144, -2.354376819, 2.434219386},
            {"block2.dw_bn.weight", 16, 15.39967282, 3.895206826},
            {"block2.dw_bn.bias", 16, 0.005512238013, 0.2248898142},
            {"block2.dw_bn.running_mean", 16, -0.6438550032, 0.6867570051},
            {"block2.dw_bn.running_var", 16, 3.728732785, 0.964116206},
            {"block2.pw.weight", 384, 0.477705367, 2.773658749},
            {"block2.pw_bn.weight", 24, 22.55736461, 4.652943938},
            {"block2.pw_bn.bias", 24, 0.09931338787, 0.2960437799},
            {"block2.pw_bn.running_mean", 24, 0.06422173599, 0.7902554963},
            {"block2.pw_bn.running_var", 24, 5.072719307, 1.039995784},
            {"block3.dw.weight", 216, -5.914013489, 2.844685882},
            {"block3.dw_bn.weight", 24, 25.08192433, 5.160128192},
            {"block3.dw_bn.bias", 24, 0.2721596718, 0.2534294007},
            {"block3.dw_bn.running_mean", 24, -1.700281345, 0.8804708236},
            {"block3.dw_bn.running_var", 24, 5.067164108, 1.049108767},
            {"block3.pw.weight", 960, 1.73098432, 3.615003584},
            {"block3.pw_bn.weight", 40, 40.29305598, 6.439849865},
            {"block3.pw_bn.bias", 40, 0.4630831543, 0.3701363398},
            {"block3.pw_bn.running_mean", 40, 0.7124759031, 1.2927113},
            {"block3.pw_bn.running_var", 40, 9.133628591, 1.451282432},
            {"classifier.weight", 400, -2.533242571, 1.846311341},
            {"classifier.bias", 10, 0.009933759277, 0.1746927631},
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
        102, 12, 64, false,
        /* PyTorch's own float32: losses within 4.8e-07, tensors within 4.9e-06 of their norm */
        {2.202755424, 3.619595089, 4.333887065, 3.298238436, 2.418054961, 2.487737095, 2.277869262, 2.198450314, 1.879650209, 2.009746895, 1.971950234, 2.004916195, 1.546597319, 1.726309163, 1.66411568, 1.610475695, 1.010413166, 1.286125649, 1.193672587, 1.177993442},
        {9.507326938, 23.88713717, 27.18554686, 17.94502518, 14.495248, 10.63893991, 5.977703762, 5.490647798, 5.645932839, 4.532867032, 3.725254686, 4.07573782, 4.802703017, 4.285961634, 4.641484777, 5.68623241, 5.78933173, 7.119902142, 5.859696574, 7.74066172},
        8,
        {
            {"features.0.weight", 432, -1.151646992, 2.253973703},
            {"features.0.bias", 16, -0.2565749908, 0.2286776832},
            {"features.3.weight", 2304, -1.136872013, 2.327253636},
            {"features.3.bias", 16, -0.1486972556, 0.204415955},
            {"classifier.0.weight", 262144, -197.9906487, 8.48321439},
            {"classifier.0.bias", 256, 1.854806406, 0.9096206465},
            {"classifier.3.weight", 2560, -2.255524805, 1.727645828},
            {"classifier.3.bias", 10, -0.1616152746, 0.1568937078},
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
        106, 1, 1, false,
        /* PyTorch's own float32: losses within 1.2e-07, tensors within 4.1e-07 of their norm */
        {2.344693966, 2.324806171, 2.455220499, 2.449026493, 2.236759887, 2.250184608, 2.377989447, 2.387389612, 2.177945638, 2.193122111, 2.310445086, 2.32803963, 2.128986719, 2.14202167, 2.250536234, 2.271926553, 2.085856215, 2.094845007, 2.194435441, 2.217996804},
        {0.8705986424, 0.9940739873, 1.007576557, 0.9869903087, 0.8119539538, 0.9522337539, 0.9628769717, 0.9595356564, 0.8003989448, 0.9306629342, 0.9290308939, 0.9319602073, 0.7948564157, 0.9168069662, 0.9100216982, 0.9211876502, 0.8067694272, 0.9204574694, 0.9106031019, 0.919927094},
        32,
        {
            {"stem.weight", 324, 1.634272009, 1.972572708},
            {"stem_bn.weight", 12, 11.88322311, 3.468479845},
            {"stem_bn.bias", 12, -0.1668423992, 0.2088408961},
            {"stem_bn.running_mean", 12, -0.008946836875, 0.009327304047},
            {"stem_bn.running_var", 12, 2.553212783, 0.7378968166},
            {"block1.conv1.weight", 1296, -2.416481736, 2.011006852},
            {"block1.bn1.weight", 12, 12.40510775, 3.597662279},
            {"block1.bn1.bias", 12, -0.1023787922, 0.2200224554},
            {"block1.bn1.running_mean", 12, -0.6634608092, 0.5976246861},
            {"block1.bn1.running_var", 12, 2.61290933, 0.7547781743},
            {"block1.conv2.weight", 1296, 0.7509199533, 2.030829807},
            {"block1.bn2.weight", 12, 11.87981287, 3.470263006},
            {"block1.bn2.bias", 12, -0.4393132135, 0.2444187481},
            {"block1.bn2.running_mean", 12, 0.3786130931, 0.5696747165},
            {"block1.bn2.running_var", 12, 2.741494308, 0.7932859487},
            {"block2.conv1.weight", 2160, -3.385296418, 2.626926553},
            {"block2.bn1.weight", 20, 19.21080805, 4.339505607},
            {"block2.bn1.bias", 20, 0.01705152916, 0.2418197298},
            {"block2.bn1.running_mean", 20, -1.77915634, 1.291969207},
            {"block2.bn1.running_var", 20, 6.337024956, 1.422742779},
            {"block2.conv2.weight", 3600, 0.8343190096, 2.617625086},
            {"block2.bn2.weight", 20, 18.89399073, 4.265745233},
            {"block2.bn2.bias", 20, -0.1946788898, 0.2593124365},
            {"block2.bn2.running_mean", 20, -0.2109573155, 0.6820003091},
            {"block2.bn2.running_var", 20, 4.213883109, 0.9427992542},
            {"block2.downsample.0.weight", 240, -4.914753818, 2.603922114},
            {"block2.downsample.1.weight", 20, 20.81632151, 4.696122327},
            {"block2.downsample.1.bias", 20, 0.0985379833, 0.2220961625},
            {"block2.downsample.1.running_mean", 20, -2.982191879, 1.227558824},
            {"block2.downsample.1.running_var", 20, 6.282306721, 1.4200306},
            {"classifier.weight", 200, -1.387199455, 1.839899654},
            {"classifier.bias", 10, 0.2924065252, 0.1878776164},
        },
    },
};
