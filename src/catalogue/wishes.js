// wishes
